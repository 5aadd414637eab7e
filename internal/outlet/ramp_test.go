package outlet

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"

	"kanmon/internal/config"
	"kanmon/internal/event"
	"kanmon/internal/outlet/provider"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/outlet/warm"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// A season is thirty days of a site with four sending IPs that are known and a new one, and receivers that take so much from the new one as they
// do not say. Only the mail is sent that the new IP will have with its full weight, and that others have instead: a fifth of the site's.
type season struct {
	name  string
	own   int // mails a day
	plan  *warm.Plan
	words string
	curve func(class string, day int, plan int) int // what a receiver takes on a day, from 1, where the plan has so much
}

const (
	tooMuchText = "421 4.7.0 too many messages from your IP address, slow down"
	laterText   = "451 4.7.1 deferred, try again later"
	tssText     = "421 4.7.0 [TSS04] Messages from 203.0.113.13 temporarily deferred due to unexpected volume or user complaints"
)

// seasonsOf are the seasons that are tried. Those that go by the amounts have a plan of a site's own, whose last day is within what is sent.
func seasonsOf(t testing.TB) []season {
	standard, small := standardPlan(t), &warm.Plan{Name: "small"}
	for day := range 30 {
		grows := math.Pow(1.18, float64(day))
		small.Steps = append(small.Steps, warm.Step{Share: min(1, 0.2*grows), Provider: int(10 * grows), Others: int(20 * grows)})
	}
	all := func(string, int, int) int { return math.MaxInt }
	return []season{
		{"take all, the standard plan", 500, standard, tooMuchText, all},
		{"take all, the standard plan, a large site", 1000, standard, tooMuchText, all},
		{"take all", 700, small, tooMuchText, all},
		{"take half of the plan", 700, small, tooMuchText, func(_ string, _, plan int) int { return plan / 2 }},
		{"take a tenth more each day, from 15", 700, small, tooMuchText, func(_ string, day, _ int) int { return int(15 * math.Pow(1.1, float64(day-1))) }},
		{"take twice as much each week, and say that it is reputation", 700, small, tssText, func(_ string, day, _ int) int { return 20 << ((day - 1) / 7) }},
		{"the same, and do not say why", 700, small, laterText, func(_ string, day, _ int) int { return 20 << ((day - 1) / 7) }},
		{"one takes 25 for ever", 700, small, tooMuchText, func(class string, _, _ int) int {
			if class == "yahoo" {
				return 25
			}
			return math.MaxInt
		}},
	}
}

func standardPlan(t testing.TB) *warm.Plan {
	cfg, err := config.Parse("kanmon.toml", []byte("[[sending_ip]]\naddress = '203.0.113.13'\nehlo = 'a.example.jp'\nwarm_up.start = 2026-12-01\n"))
	if err != nil {
		t.Fatal(err)
	}
	plan := &warm.Plan{Name: config.StandardPlan}
	for _, day := range cfg.WarmUpPlan(&cfg.SendingIPs[0]).Days {
		plan.Steps = append(plan.Steps, warm.Step{Share: day.Share, Provider: day.Provider, Others: day.Others})
	}
	return plan
}

// A grown is what a season came to.
type grown struct {
	sent, possible    int // from the new IP; the smaller of plan and curve
	deferred, own     int // by MXs; by kanmon
	suspended, beyond int
	end               string
}

func TestANewSendingIPGrowsUpWithinAReceiversSecretCurve(t *testing.T) {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer table.Flush()
	fmt.Fprintln(table, "receivers\tmails a day\tsent\tof possible\tdeferred by MXs\tby kanmon\tsuspended\tbeyond\tat the end")
	for _, s := range seasonsOf(t) {
		synctest.Test(t, func(t *testing.T) {
			g := s.run(t)
			sent, deferred := float64(g.sent)/float64(g.possible), float64(g.deferred)/float64(g.sent+g.deferred)
			fmt.Fprintf(table, "%s\t%d\t%d\t%.0f %%\t%.1f %%\t%d\t%d\t%d\t%s\n", s.name, 5*s.own, g.sent, 100*sent, 100*deferred, g.own, g.suspended, g.beyond, g.end)
			if sent < 0.8 || deferred > 0.05 || g.own > 0 || g.suspended > 0 {
				t.Errorf("%s: sent %.2f of what was possible, %.3f deferred, %d deferred by kanmon, %d suspended", s.name, sent, deferred, g.own, g.suspended)
			}
		})
	}
}

// receivers are where mail goes, and how much of it.
var receivers = []struct {
	class, mx, domain, host string
	part                    float64
}{
	{"google", "192.0.2.10:25", "gmail.com", "aspmx.l.google.com", 0.45},
	{"yahoo", "192.0.2.20:25", "yahoo.com", "mta5.am0.yahoodns.net", 0.15},
	{"docomo", "192.0.2.30:25", "docomo.ne.jp", "mfsmax.docomo.ne.jp", 0.10},
	{warm.Others, "198.51.100.7:25", "x.example", "", 0.20},
	{warm.Others, "198.18.0.8:25", "y.example", "", 0.10},
}

func (s *season) run(t *testing.T) (g grown) {
	o, state, end := poolOf(5).tenant("acme", "10.20.1.0/24").tenant("blue", "10.20.2.0/24").begin(t, part{dns: &smtptest.DNS{MXs: map[string]string{}}})
	defer func() {
		for _, err := range end() {
			if err != nil {
				t.Error(err)
			}
		}
	}()
	o.dialer = plainDialer{}
	r := &ramp{rig: o, t: t, state: state}
	r.learnMXs()
	senders := r.ownSenders()
	state.Warming().Configure([]warm.Member{{IP: new1, Start: warm.DayOf(time.Now()), Plan: s.plan}})
	random := rand.New(rand.NewPCG(7, uint64(s.own)))
	for day := range len(s.plan.Steps) {
		r.learnMXs()
		s.day(r, random, day+1, senders, &g)
	}
	for _, st := range o.book.List() {
		if st.State == standing.Suspended && st.IP == new1 {
			g.suspended++
		}
	}
	e, _ := state.Warming().Get(new1)
	g.end = e.Words()
	return g
}

// learnMXs has it known whose the MXs are, as DNS does for two weeks.
func (r *ramp) learnMXs() {
	for _, to := range receivers {
		if to.host != "" {
			r.state.learnt.addresses.Put(netip.MustParseAddrPort(to.mx).Addr(), provider.MX{Host: to.host})
		}
	}
}

// A writer is who sends to a receiver.
type writer struct{ source, sender string }

// ownSenders gives for each receiver senders whose mail will leave from the new IP. Nothing warms up yet.
func (r *ramp) ownSenders() (all [][]writer) {
	all = make([][]writer, len(receivers))
	for i, to := range receivers {
		for n := 0; len(all[i]) < 300; n++ {
			w := writer{fmt.Sprintf("10.20.%d.5", 1+n%2), fmt.Sprintf("a@s%d.example", n)}
			choice, err := r.router.Choose(r.query(request{Source: netip.MustParseAddr(w.source), Destination: netip.MustParseAddrPort(to.mx), DialRequest: session.DialRequest{Sender: w.sender, SenderKnown: true}}))
			if err != nil {
				r.t.Fatal(err)
			}
			if choice.IP.Address == new1 {
				all[i] = append(all[i], w)
			}
		}
	}
	return all
}

// day sends a day's mail, each in a session of its own.
func (s *season) day(r *ramp, random *rand.Rand, day int, senders [][]writer, g *grown) {
	step, taken, offered := s.plan.Steps[day-1], map[string]int{}, map[string]float64{}
	amount := func(class string) int {
		if class == warm.Others {
			return step.Others
		}
		return step.Provider
	}
	for range s.own {
		time.Sleep(24 * time.Hour / time.Duration(s.own+1))
		i, at := 0, random.Float64()
		for i = range receivers {
			if at -= receivers[i].part; at < 0 {
				break
			}
		}
		to := &receivers[i]
		offered[to.class] += 5 * step.Share / (4 + step.Share) // of its senders so many have moved
		l, err := r.begin(senders[i][random.IntN(len(senders[i]))], to.mx, fmt.Sprintf("u%d@%s", random.IntN(1000), to.domain))
		switch {
		case err != nil:
			g.own++
		case l.ip == new1 && taken[to.class] >= s.curve(to.class, day, amount(to.class)):
			g.deferred++
			l.refused(event.PhaseRcpt, 421, s.words)
			l.close()
		default:
			if l.ip == new1 {
				g.sent++
				taken[to.class]++
			}
			l.accepted()
		}
	}
	for class, n := range offered {
		g.possible += min(amount(class), s.curve(class, day, amount(class)), int(n))
	}
	e, _ := r.state.Warming().Get(new1)
	for _, c := range e.Classes {
		g.beyond += c.Over
	}
	now := time.Now().UTC()
	time.Sleep(now.Truncate(24*time.Hour).AddDate(0, 0, 1).Sub(now))
}

// begin writes a mail as far as its recipient.
func (r *ramp) begin(from writer, mx, recipient string) (*letter, error) {
	r.last++
	l := &letter{r: r, req: request{Session: r.last, Source: netip.MustParseAddr(from.source), Destination: netip.MustParseAddrPort(mx)}}
	out, err := r.Dial(r.t.Context(), l.req)
	if err != nil {
		return nil, err
	}
	l.ip = out.SendingIP
	l.mail(from.sender, recipient)
	return l, nil
}
