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
	"kanmon/internal/smtp/smtptest"
)

// A season is thirty days of a site with four sending IPs that are known and a new one, and receivers that take so much from the new one as they
// do not say.
type season struct {
	name   string
	volume int // mails a day
	words  string
	curve  func(class string, day int, plan int) int // what a receiver takes on a day, from 1, where the plan has so much
}

const (
	tooMuchText = "421 4.7.0 too many messages from your IP address, slow down"
	tssText     = "421 4.7.0 [TSS04] Messages from 203.0.113.13 temporarily deferred due to unexpected volume or user complaints"
)

var seasons = []season{
	{"takes all", 3000, tooMuchText, func(string, int, int) int { return math.MaxInt }},
	{"half of the plan", 10_000, tooMuchText, func(_ string, _, plan int) int { return plan / 2 }},
	{"a tenth more each day, from 40", 10_000, tooMuchText, func(_ string, day, _ int) int { return int(40 * math.Pow(1.1, float64(day-1))) }},
	{"in jumps, each week", 10_000, tssText, func(_ string, day, _ int) int { return 60 << (2 * ((day - 1) / 7)) }},
	{"one provider takes 30 for ever", 5000, tooMuchText, func(class string, _, _ int) int {
		if class == "yahoo" {
			return 30
		}
		return math.MaxInt
	}},
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
	for _, s := range seasons {
		synctest.Test(t, func(t *testing.T) {
			g := s.run(t)
			sent, deferred := float64(g.sent)/float64(g.possible), float64(g.deferred)/float64(g.sent+g.deferred)
			fmt.Fprintf(table, "%s\t%d\t%d\t%.0f %%\t%.1f %%\t%d\t%d\t%d\t%s\n", s.name, s.volume, g.sent, 100*sent, 100*deferred, g.own, g.suspended, g.beyond, g.end)
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
	{warm.Others, "198.51.100.8:25", "y.example", "", 0.10},
}

func (s *season) run(t *testing.T) (g grown) {
	cfg, err := config.Parse("kanmon.toml", []byte("[[sending_ip]]\naddress = '203.0.113.13'\nehlo = 'a.example.jp'\nwarm_up.start = 2026-12-01\n"))
	if err != nil {
		t.Fatal(err)
	}
	plan := &warm.Plan{Name: config.StandardPlan}
	for _, day := range cfg.WarmUpPlan(&cfg.SendingIPs[0]).Days {
		plan.Steps = append(plan.Steps, warm.Step{Share: day.Share, Provider: day.Provider, Others: day.Others})
	}
	o, state, end := poolOf(5).tenant("acme", "10.20.1.0/24").tenant("blue", "10.20.2.0/24").begin(t, part{dns: &smtptest.DNS{MXs: map[string]string{}}})
	defer func() {
		for _, err := range end() {
			if err != nil {
				t.Error(err)
			}
		}
	}()
	o.dialer = plainDialer{}
	for _, to := range receivers {
		if to.host != "" {
			state.learnt.addresses.Put(netip.MustParseAddrPort(to.mx).Addr(), provider.MX{Host: to.host})
		}
	}
	first := warm.DayOf(time.Now())
	state.Warming().Configure([]warm.Member{{IP: new1, Start: first, Plan: plan}})
	r := &ramp{rig: o, t: t, state: state}
	random := rand.New(rand.NewPCG(7, uint64(s.volume)))
	for day := range len(plan.Steps) {
		s.day(r, random, day+1, plan, &g)
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

// day sends a day's mail, each in a session of its own, and again an hour later what was deferred.
func (s *season) day(r *ramp, random *rand.Rand, day int, plan *warm.Plan, g *grown) {
	step, taken, offered := plan.Steps[day-1], map[string]int{}, map[string]float64{}
	for range s.volume {
		time.Sleep(24 * time.Hour / time.Duration(s.volume+1))
		at, to := random.Float64(), receivers[0]
		for _, to = range receivers {
			if at -= to.part; at < 0 {
				break
			}
		}
		offered[to.class] += step.Share / (4 + step.Share)
		amount := step.Provider
		if to.class == warm.Others {
			amount = step.Others
		}
		l, err := r.begin(random, to.mx, to.domain)
		switch {
		case err != nil:
			g.own++
		case l.ip == new1 && taken[to.class] >= s.curve(to.class, day, amount):
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
		amount := step.Provider
		if class == warm.Others {
			amount = step.Others
		}
		g.possible += min(amount, s.curve(class, day, amount), int(n))
	}
	e, _ := r.state.Warming().Get(new1)
	for _, c := range e.Classes {
		g.beyond += c.Over
	}
	now := time.Now().UTC()
	time.Sleep(now.Truncate(24*time.Hour).AddDate(0, 0, 1).Sub(now))
}

// begin writes a mail of one of many senders.
func (r *ramp) begin(random *rand.Rand, mx, domain string) (*letter, error) {
	r.last++
	tenant := byte(1 + random.IntN(2))
	l := &letter{r: r, req: request{Session: r.last, Source: netip.AddrFrom4([4]byte{10, 20, tenant, 5}), Destination: netip.MustParseAddrPort(mx)}}
	out, err := r.Dial(r.t.Context(), l.req)
	if err != nil {
		return nil, err
	}
	l.ip = out.SendingIP
	l.mail(fmt.Sprintf("a@s%d.example", random.IntN(2000)), fmt.Sprintf("u%d@%s", random.IntN(1000), domain))
	return l, nil
}
