// Package usual makes what a kanmon knows of how long mail usually takes: the file of [standing], as the product's own detector writes it, fed for three
// days of virtual time with the mail of a site to which no MX was slow. Whoever starts kanmon on it need not wait for those days.
package usual

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"time"

	"kanmon/internal/event/timing"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/store/keep"
	"kanmon/internal/who/witness"
)

// A Site is whose mail has gone where. Any sending IP has sent any tenant's mail to any MX.
type Site struct {
	IPs     []netip.Addr
	MXs     []netip.Addr // each of a provider that nobody has named
	Tenants []string
	Reply   time.Duration // what an MX typically takes for a reply
}

const (
	days   = 3
	apart  = time.Minute // two mails of the site, at most
	spread = .5          // of the logarithms of times, and of sizes
	size   = 4 << 10     // octets of a message, typically
	large  = 1 << 20     // one in largeOf is typically of this size
	rate   = 20e6        // octets a second

	largeOf = 20
)

// Write makes the file, which must not be there yet. It is kanmon's with the key file of [standing].
func Write(file string, s Site) (err error) {
	d, r := timing.New(), rand.New(rand.NewPCG(1, 2))
	now := time.Now()
	for at, id := now.Add(-days*24*time.Hour), uint64(1); at.Before(now); id++ {
		o := s.mail(r)
		o.At, o.ID = at, id
		d.Observe(&o)
		at = at.Add(rand.N(apart))
	}
	store, err := standing.OpenSQLite(file)
	if err != nil {
		return fmt.Errorf("what is usual: %w", err)
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	table, err := keep.NewTable(store.File(), "learnt_times", 1)
	if err != nil {
		return fmt.Errorf("what is usual: %w", err)
	}
	var rows []keep.Row
	for _, row := range d.Export(time.Time{}) {
		rows = append(rows, keep.Row{Key: row.IP + " " + row.Provider, Value: string(row.Data), Put: row.Seen})
	}
	return table.Save(rows)
}

// mail is one of any tenant's, from any IP to any MX.
func (s *Site) mail(r *rand.Rand) timing.Observation {
	around := func(typical float64) float64 { return typical * math.Exp(spread*r.NormFloat64()) }
	mx := s.MXs[r.IntN(len(s.MXs))]
	o := timing.Observation{
		IP: s.IPs[r.IntN(len(s.IPs))].String(), Provider: witness.Stranger(mx), Host: mx.String(),
		Tenant: s.Tenants[r.IntN(len(s.Tenants))], New: true, Size: int(around(size)),
	}
	if r.IntN(largeOf) == 0 {
		o.Size = int(around(large))
	}
	for f := range o.Took {
		o.Took[f] = around(s.Reply.Seconds())
	}
	o.Took[timing.Dial] = around(.002)
	o.Took[timing.Write] = max(0, float64(o.Size-64<<10)) / rate
	return o
}
