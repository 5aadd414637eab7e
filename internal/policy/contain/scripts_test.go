package contain

import (
	"fmt"

	"kanmon/internal/event"
)

func weekday(hour int) int { return hour / 24 % 7 } // 0 is Monday
func daytime(hour int) int { return hour % 24 }
func workhour(hour int) bool {
	return weekday(hour) < 5 && daytime(hour) >= 9 && daytime(hour) < 18
}

// office: 5 to 30 people; once a year one of them writes to all customers there ever were; of every tenth office one
// partner's filter refuses everything.
func office(p *play, hour int) {
	people := int(p.span(1, 5, 30))
	if workhour(hour) {
		refuser := ""
		if p.seed%10 == 0 {
			refuser = "mx:3.example"
		}
		for i := range people {
			p.add(mailing{
				account: fmt.Sprintf("user%d", i), n: p.span(2, 0.3, 1.5), first: -1, unknown: p.span(3, 0.003, 0.02),
				content: p.span(4, 0.001, 0.006), refuser: refuser,
			})
		}
	}
	if hour == 24*7*int(p.span(5, 4, 48))+11 {
		p.add(mailing{account: "user1", n: p.span(6, 50, 400), unknown: p.span(7, 0.02, 0.12), content: 0.005})
	}
	p.add(mailing{account: NullSender, n: 0.1, first: -1, unknown: 0.3})
}

// newsletter: an office that writes to 500 to 5,000 on Mondays at nine, within two hours.
func newsletter(p *play, hour int) {
	office(p, hour)
	p.issue(hour, "")
}

// misjudged: a newsletter of which one issue a year is refused as spam by one of the four large providers, wholly.
func misjudged(p *play, hour int) {
	refuser := ""
	if hour/weekHours == int(p.span(23, 5, 50)) {
		refuser = providers[p.seed%4]
	}
	office(p, hour)
	p.issue(hour, refuser)
}

// incident: an office, and for two working hours a year the largest provider says of everybody that there is no such user.
func incident(p *play, hour int) {
	from := len(p.hour)
	office(p, hour)
	if first := weekHours*int(p.span(70, 4, 48)) + 2*24 + 13; hour == first || hour == first+1 {
		for i := range p.hour[from:] {
			if l := &p.hour[from+i]; l.provider == "google" {
				l.class = event.RecipientInvalid
			}
		}
	}
}

// The same in a company that writes much.
func largeIncident(p *play, hour int) {
	for range 10 {
		incident(p, hour)
	}
}

func (p *play) issue(hour int, refuser string) {
	list := p.magnitude(20, 500, 5000)
	if hour%weekHours == 9 || hour%weekHours == 10 {
		p.add(mailing{
			account: "news", n: list / 2, first: int(list/2) * (hour%weekHours - 9), unknown: p.span(21, 0.003, 0.03),
			content: p.span(22, 0.001, 0.01), refuser: refuser,
		})
	}
}

// shop: orders around the clock, up to five times as many before Christmas, and as many again on one Friday.
func shop(p *play, hour int) {
	factor := 1.0
	switch day := hour / 24; {
	case day == 242: // 27 November
		factor = 8
	case day >= 230 && day < 270:
		factor = 1 + 4*float64(day-230)/40
	}
	if daytime(hour) >= 7 {
		p.add(mailing{
			account: "orders", n: factor * p.magnitude(30, 5, 40), list: 1 << 40, first: -1,
			unknown: p.span(31, 0.01, 0.03), content: p.span(32, 0.001, 0.006),
		})
	}
	p.add(mailing{account: NullSender, n: 0.1, first: -1, unknown: 0.3})
}

// school: few mails, but at two term starts 800 to 3,000 parents on three days, with many stale addresses.
func school(p *play, hour int) {
	office(p, hour)
	day := hour / 24
	if (day >= 7 && day < 10 || day >= 155 && day < 158) && daytime(hour) >= 15 && daytime(hour) < 18 {
		parents := p.span(40, 800, 3000)
		p.add(mailing{
			account: "admin", n: parents / 3, first: int(parents/3) * (daytime(hour) - 15), unknown: p.span(41, 0.02, 0.07),
			content: 0.004,
		})
	}
}

// newcomer: nothing for some months; then an office, of which every other has a newsletter.
func newcomer(p *play, hour int) {
	switch first := 24 * 7 * int(p.span(50, 4, 40)); {
	case hour < first:
	case p.seed%2 == 0:
		newsletter(p, hour)
	default:
		office(p, hour)
	}
}

// provider: 5,000 accounts that write little; 250 of them have all their mail forwarded, spam as well.
func provider(p *play, hour int) {
	n := p.poisson(map[bool]float64{true: 250, false: 40}[daytime(hour) >= 8])
	for range n {
		p.add(mailing{
			account: fmt.Sprintf("user%d", p.rng.IntN(5000)), n: 1, first: p.rng.IntN(40), unknown: 0.015, content: 0.003,
		})
	}
	for i := range 250 {
		p.add(mailing{
			account: fmt.Sprintf("forward%d", i), n: 0.2 + 2*chance(mix(uint64(i), p.seed)), first: -1, list: 1,
			content: 0.01 + 0.06*chance(mix(uint64(i), p.seed+1)),
		})
	}
	p.add(mailing{account: NullSender, n: 4, first: -1, list: 1 << 40, unknown: 0.2})
}

// list: one to three posts a day to 100 to 400 members, of whom some are stale.
func list(p *play, hour int) {
	if daytime(hour) >= 8 && daytime(hour) < 22 && p.rng.Float64() < p.span(60, 1, 3)/14 {
		p.add(mailing{
			account: "list-bounces", n: p.span(61, 100, 400), unknown: p.span(62, 0.02, 0.06), content: p.span(63, 0.001, 0.01),
		})
	}
}
