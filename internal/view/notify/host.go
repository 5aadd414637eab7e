package notify

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// A Host is what is looked at beside the records, because no line says it.
type Host struct {
	Disks        []string                                       // folders
	Certificates []string                                       // files with chains, as TLS wants them; one that cannot be read is left out
	Limits       func(context.Context) ([]LimitReading, error)  // how far limits are used; nil: nobody is asked
	Resolver     func(context.Context) (ResolverReading, error) // how the resolver is that policies need; nil: none does
}

// A ResolverReading is how the resolver is that says what TLS recipients' domains ask.
type ResolverReading struct {
	Gateway string
	Failing string // what is wrong with it; "": it is well
	Waits   bool   // mail does, because of that
}

// A LimitReading is how far a tenant has used a limit.
type LimitReading struct {
	Tenant, Name, Provider string
	Used, Max              int64
}

// From when on a limit is near, a disk nearly full and a certificate nearly over; and from when on that is over. Between the two it stays as it was.
const (
	limitNear = .8
	limitFar  = .6

	diskLow  = .1 // of it is free
	diskLast = .05
	diskRoom = .15

	certificateSoon = 14 * 24 * time.Hour
	certificateLast = 3 * 24 * time.Hour
)

// looked gives what a look at the host has found. What cannot be looked at says nothing.
func (n *Notifier) atHost(ctx context.Context, now time.Time) (found []happening) {
	found = slices.Concat(n.disks(now), n.certificates(now))
	if h, is := n.resolver(ctx, now); is {
		found = append(found, h)
	}
	if n.host.Limits == nil {
		return found
	}
	limits, err := n.host.Limits(ctx)
	if err != nil && ctx.Err() == nil {
		n.log.Debug("how far limits are used is not known", "error", err)
	}
	for i := range limits {
		if h, is := limitIs(&limits[i], now); is {
			found = append(found, h)
		}
	}
	return found
}

// resolver looks how the resolver is.
func (n *Notifier) resolver(ctx context.Context, now time.Time) (h happening, is bool) {
	if n.host.Resolver == nil {
		return h, false
	}
	r, err := n.host.Resolver(ctx)
	if err != nil {
		if ctx.Err() == nil {
			n.log.Debug("how the resolver is, is not known", "error", err)
		}
		return h, false
	}
	return resolverIs(&r, now), true
}

func resolverIs(r *ResolverReading, now time.Time) happening {
	d := Data{Gateway: r.Gateway, Condition: r.Failing}
	h := happening{key: key("resolver", r.Gateway), event: newEvent("resolver.well", now, d)}
	if r.Failing != "" {
		if h.state = "failing"; r.Waits {
			h.state, d.Severity = "waiting", Critical
		}
		h.event = newEvent("resolver.failing", now, d)
	}
	return h
}

func limitIs(l *LimitReading, now time.Time) (h happening, is bool) {
	if l.Max <= 0 {
		return h, false
	}
	used := float64(l.Used) / float64(l.Max)
	d := Data{Tenant: l.Tenant, Provider: l.Provider, Rule: l.Name, Numbers: []Number{{Name: "used_ratio", Value: used, Threshold: limitNear}}}
	h.key = key("near", l.Tenant, l.Name, l.Provider)
	switch {
	case used >= limitNear:
		h.state, h.event = "near", newEvent("limit.near", now, d)
	case used < limitFar:
		h.event = newEvent("limit.far", now, d)
	default:
		return h, false
	}
	return h, true
}

// disks looks how much is free where history and records are. Two folders of one disk are one.
func (n *Notifier) disks(now time.Time) (found []happening) {
	known := map[unix.Fsid]bool{}
	for _, folder := range n.host.Disks {
		var fs unix.Statfs_t
		if err := unix.Statfs(folder, &fs); err != nil || fs.Blocks == 0 || known[fs.Fsid] && fs.Fsid != (unix.Fsid{}) {
			continue
		}
		known[fs.Fsid] = true
		if h, is := diskIs(folder, float64(fs.Bavail)/float64(fs.Blocks), now); is {
			found = append(found, h)
		}
	}
	return found
}

func diskIs(folder string, free float64, now time.Time) (h happening, is bool) {
	d := Data{Condition: folder, Numbers: []Number{{Name: "free_ratio", Value: free, Threshold: diskLow}}}
	h.key = key("disk", folder)
	switch {
	case free < diskLast:
		d.Severity, d.Numbers[0].Threshold = Critical, diskLast
		h.state, h.event = "last", newEvent("gateway.disk_low", now, d)
	case free < diskLow:
		h.state, h.event = "low", newEvent("gateway.disk_low", now, d)
	case free >= diskRoom:
		h.event = newEvent("gateway.disk_room", now, d)
	default:
		return h, false
	}
	return h, true
}

// certificates looks when they end.
func (n *Notifier) certificates(now time.Time) (found []happening) {
	for _, file := range n.host.Certificates {
		ends, err := endOf(file)
		if err != nil {
			n.log.Debug("when a certificate ends is not known", "error", err)
			continue
		}
		found = append(found, certificateIs(file, ends, now))
	}
	return found
}

func certificateIs(file string, ends, now time.Time) happening {
	left := ends.Sub(now)
	d := Data{Condition: file, Until: ends, Numbers: []Number{{Name: "days_left", Value: max(0, left.Hours()/24), Threshold: certificateSoon.Hours() / 24}}}
	h := happening{key: key("certificate", file), event: newEvent("certificate.renewed", now, d)}
	switch {
	case left < certificateLast:
		d.Severity, d.Numbers[0].Threshold = Critical, certificateLast.Hours()/24
		h.state, h.event = "last", newEvent("certificate.ending", now, d)
	case left < certificateSoon:
		h.state, h.event = "soon", newEvent("certificate.ending", now, d)
	}
	return h
}

// endOf reads when the first certificate of a file ends.
func endOf(file string) (ends time.Time, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return ends, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return ends, fmt.Errorf("%s has no certificate", file)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return ends, fmt.Errorf("%s: %w", file, err)
	}
	return c.NotAfter, nil
}
