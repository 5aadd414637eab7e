package timing_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"kanmon/internal/event/timing"
)

// A world is a gateway in virtual time: IPs, providers with two hosts each, tenants that send from any IP.
type world struct {
	t         *testing.T
	d         *timing.Detector
	r         *rand.Rand
	now       time.Time
	ips       int
	providers int
	tenants   int
	apart     time.Duration // two mails, on average
	id        uint64

	trouble func(o *timing.Observation) // what happens to a mail on its way
	told    []timing.Finding
}

func newWorld(t *testing.T, seed uint64, ips int) *world {
	return &world{t: t, d: timing.New(), r: rand.New(rand.NewPCG(seed, 3)), now: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), ips: ips, providers: 4, tenants: 8, apart: 40 * time.Second}
}

func ip(i int) string { return fmt.Sprintf("192.0.2.%d", i+1) }

func provider(i int) string { return fmt.Sprintf("provider%d", i) }

// next gives the next mail of the world, with the spread of ordinary receivers.
func (w *world) next() timing.Observation {
	w.now = w.now.Add(time.Duration(w.r.ExpFloat64() * float64(w.apart)))
	w.id++
	around := func(median, sd float64) float64 { return median * math.Exp(sd*w.r.NormFloat64()) }
	p := w.r.IntN(w.providers)
	o := timing.Observation{At: w.now, ID: w.id, IP: ip(w.r.IntN(w.ips)), Provider: provider(p), Host: fmt.Sprintf("mx%d.provider%d", w.r.IntN(2), p), Tenant: fmt.Sprintf("tenant%d", w.r.IntN(w.tenants)), New: w.r.IntN(10) < 7, Size: int(around(20e3, 1)), Took: timing.Absence}
	if o.New {
		o.Took[timing.Dial], o.Took[timing.Banner], o.Took[timing.Hello] = around(.05, .1), around(.1, .4), around(.2, .3)
	}
	o.Took[timing.Mail], o.Took[timing.Rcpt], o.Took[timing.Data] = around(.05, .3), around(.15, .5), around(.06, .3)
	o.Took[timing.Write] = max(0, float64(o.Size-64<<10)) / 8e6
	o.Took[timing.Dot] = around(.5, .35)
	return o
}

// run lets mail flow for a time.
func (w *world) run(d time.Duration) []timing.Finding {
	from := len(w.told)
	for end := w.now.Add(d); w.now.Before(end); {
		w.send()
	}
	return w.told[from:]
}

func (w *world) send() {
	o := w.next()
	if w.trouble != nil {
		w.trouble(&o)
	}
	w.observe(&o)
}

func (w *world) observe(o *timing.Observation) []timing.Finding {
	fs := w.d.Observe(o)
	w.told = append(w.told, fs...)
	return fs
}

// here gives the findings begun that say "this IP here".
func here(told []timing.Finding) (of []timing.Finding) {
	for _, f := range told {
		if f.Change == timing.Begun && f.Scope == timing.ThisIPHere {
			of = append(of, f)
		}
	}
	return of
}

// key reports whether a mail is of the IP and the provider that tests restrict.
func key(o *timing.Observation) bool { return o.IP == ip(1) && o.Provider == provider(2) }

// add makes a phase longer, where the mail has it.
func add(o *timing.Observation, f timing.Phase, seconds float64) {
	if o.Took[f] >= 0 {
		o.Took[f] += seconds
	}
}

// refuse has the connection refused.
func refuse(o *timing.Observation) {
	o.Refused, o.Took = true, timing.Absence
}
