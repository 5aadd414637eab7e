package contain

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// An abuse begins on a Tuesday at ten, after four weeks of an innocent tenant's life, and lasts two days.
const abuseHour = 4*weekHours + 24 + 10

var abuses = []struct {
	name   string
	before script
	script script // of the hours since the abuse began
	want   Level  // that is reached, with every seed
}{
	{"burst: 20,000 in 7 minutes, 40 % unknown", office, burst, Stop},
	{"slow drip: 100/h, 15 % spam refusals", office, drip, Divert},
	{"the same, to one provider only", office, dripToOne, Divert},
	{"20,000 in an hour, refused by the largest provider alone", office, burstOneRefuses, Slow},
	{"snowshoe: 1,000/h over 50 accounts, 20 % unknown, 15 % spam", company, snowshoe, Divert},
	{"made-up senders: 2,000/h, 25 % unknown, 10 % spam", company, strangers, Divert},
	{"snowshoe among an ISP's 5,000 accounts, as above", provider, snowshoe, Slow},
	{"made-up senders at an ISP, as above", provider, strangers, Normal},
	{"backscatter: 500/h, 70 % unknown", office, backscatter, Divert},
	{"phishing: 5,000/h, 1 % unknown, 8 % spam", office, phishing, Divert},
	{"careful: 60/h, 2 % unknown, 3 % spam", office, careful, Normal},
}

func burst(p *play, hour int) {
	if hour > 0 {
		return
	}
	before := len(p.hour)
	p.add(mailing{account: "user3", n: 20000, unknown: 0.4, abuse: true})
	for i := before; i < len(p.hour); i++ {
		p.hour[i].at /= 9
	}
}

func drip(p *play, _ int) {
	p.add(mailing{account: "user3", n: 100, first: -1, list: 1 << 40, content: 0.15, abuse: true})
}

func dripToOne(p *play, _ int) {
	p.add(mailing{account: "user3", n: 100, first: -1, list: 1 << 40, content: 0.15, only: "google", abuse: true})
}

// burstOneRefuses is the hardest to tell from a newsletter that one provider takes for spam.
func burstOneRefuses(p *play, hour int) {
	if hour == 0 {
		p.add(mailing{account: "user3", n: 20000, refuser: "google", abuse: true})
	}
}

func snowshoe(p *play, _ int) {
	for i := range 50 {
		p.add(mailing{account: fmt.Sprintf("user%d", i), n: 20, first: -1, list: 1 << 40, unknown: 0.2, content: 0.15, abuse: true})
	}
}

func strangers(p *play, _ int) {
	for range 2000 {
		p.add(mailing{account: fmt.Sprintf("x%d", p.rng.Uint64()), n: 1, first: p.rng.Int(), unknown: 0.25, content: 0.1, abuse: true})
	}
}

func backscatter(p *play, _ int) {
	p.add(mailing{account: NullSender, n: 500, first: -1, list: 1 << 40, unknown: 0.7, abuse: true})
}

func phishing(p *play, _ int) {
	p.add(mailing{account: "user3", n: 5000, first: -1, list: 1 << 40, unknown: 0.01, content: 0.08, abuse: true})
}

func careful(p *play, _ int) {
	p.add(mailing{account: "user3", n: 60, first: -1, list: 1 << 40, unknown: 0.02, content: 0.03, abuse: true})
}

// company is an office of 60.
func company(p *play, hour int) {
	if workhour(hour) {
		for i := range 60 {
			p.add(mailing{account: fmt.Sprintf("user%d", i), n: 0.8, first: -1, unknown: 0.01, content: 0.003})
		}
	}
}

// Abuse of an innocent tenant is contained. Nothing is enforced, so that what left before each level is the worst case.
func TestReplayAbuse(t *testing.T) {
	tab := table(t, "abuse\tlevel\treached\tafter: median\tworst\tmails before: median\tworst\tbelow it in all: median\tworst")
	seeds, lasts := 1, 30
	if *full {
		seeds, lasts = 20, 48
	}
	for k, kind := range abuses {
		plays := make([]*play, seeds)
		for i := range plays {
			p := newPlay(t, *firstSeed+uint64(100*k+i), nil)
			from := 0
			if !*full {
				from = abuseHour - weekHours - 24
			}
			p.at = start.Add(time.Duration(from) * time.Hour)
			p.time.start()
			p.run(from, abuseHour, kind.before)
			p.run(abuseHour, abuseHour+lasts, func(p *play, hour int) {
				kind.before(p, hour)
				kind.script(p, hour-abuseHour)
			})
			plays[i] = p
		}
		for l := Slow; l <= Stop; l++ {
			reached := 0
			var after []time.Duration
			var tried, below []int
			for _, p := range plays {
				below = append(below, p.below[l])
				if m := p.marks[l]; m.tried > 0 {
					reached++
					after, tried = append(after, m.after), append(tried, m.tried)
				}
			}
			if l <= kind.want && reached < seeds {
				t.Errorf("%s: %v is reached with %d of %d seeds", kind.name, l, reached, seeds)
			}
			slices.Sort(below)
			if reached == 0 {
				fmt.Fprintf(tab, "%s\t%v\t0/%d\t\t\t\t\t%d\t%d\n", kind.name, l, seeds, below[seeds/2], below[seeds-1])
				continue
			}
			slices.Sort(after)
			slices.Sort(tried)
			fmt.Fprintf(tab, "%s\t%v\t%d/%d\t%v\t%v\t%d\t%d\t%d\t%d\n", kind.name, l, reached, seeds,
				after[reached/2].Round(time.Second), after[reached-1].Round(time.Second), tried[reached/2], tried[reached-1],
				below[seeds/2], below[seeds-1])
		}
	}
	tab.Flush()
}
