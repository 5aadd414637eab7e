package outlet

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"kanmon/internal/outlet/provider"
	"kanmon/internal/outlet/route"
	"kanmon/internal/outlet/shape"
	"kanmon/internal/store"
	"kanmon/internal/store/keep"
)

// learnt is what kanmon has learnt of destinations. It outlives reloads; what is lost with it costs a detour or a delay, so that it
// outlives restarts in the file of the standing, where there is one.
type learnt struct {
	addresses *keep.Memory[netip.Addr, provider.MX]    // whose MX an address is
	mxs       *keep.Memory[string, provider.MX]        // which MX a recipient domain has
	pins      *keep.Memory[pinKey, netip.Addr]         // which sending IP a mail was told to come back from
	tight     *keep.Memory[tightKey, shape.Tightening] // what a provider found too much of
	timed     *keep.Memory[tightKey, shape.Tightening] // what time speaks against
	forecast  *route.Forecast                          // where an MSA's next mail will leave from; of this process alone
}

// openLearnt reads what the file has; without one nothing survives the process.
func openLearnt(file *store.File, log *slog.Logger, clock func() time.Time) (*learnt, error) {
	addresses := keep.Options[netip.Addr, provider.MX]{
		Most: provider.MostKnown, Life: provider.KnownFor, Log: log, Clock: clock,
		Encode: func(addr netip.Addr, mx provider.MX) (string, string) {
			return addr.String(), encoded(mx.Host, mx.Domain)
		},
		Decode: func(key, value string) (netip.Addr, provider.MX, bool) {
			addr, err := netip.ParseAddr(key)
			mx, ok := mxOf(value)
			return addr, mx, ok && err == nil
		},
	}
	mxs := keep.Options[string, provider.MX]{
		Most: provider.MostKnown, Life: provider.KnownFor, Log: log, Clock: clock,
		Encode: func(domain string, mx provider.MX) (string, string) { return domain, encoded(mx.Host, mx.Domain) },
		Decode: func(domain, value string) (string, provider.MX, bool) {
			mx, ok := mxOf(value)
			return domain, mx, ok
		},
	}
	pins := pinOptions(log)
	tight, timed := tightOptions(log, false), tightOptions(log, true)
	pins.Clock, tight.Clock, timed.Clock = clock, clock, clock
	var err error
	if file != nil {
		if addresses.Store, err = keep.NewTable(file, "learnt_address", 1); err != nil {
			return nil, err
		}
		if mxs.Store, err = keep.NewTable(file, "learnt_mx", 1); err != nil {
			return nil, err
		}
		if pins.Store, err = keep.NewTable(file, "learnt_pin", 1); err != nil {
			return nil, err
		}
		if tight.Store, err = keep.NewTable(file, "learnt_tightening", 1); err != nil {
			return nil, err
		}
		if timed.Store, err = keep.NewTable(file, "learnt_tightening_by_time", 1); err != nil {
			return nil, err
		}
	}
	l := &learnt{forecast: route.NewForecast()}
	if l.addresses, err = keep.New(addresses); err == nil {
		if l.mxs, err = keep.New(mxs); err == nil {
			if l.pins, err = keep.New(pins); err == nil {
				if l.tight, err = keep.New(tight); err == nil {
					l.timed, err = keep.New(timed)
				}
			}
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("what was learnt of destinations: %w", err), l.close())
	}
	return l, nil
}

// close writes what has not been written. The file stays open.
func (l *learnt) close() error {
	return errors.Join(l.addresses.Close(), l.mxs.Close(), l.pins.Close(), l.tight.Close(), l.timed.Close())
}

func mxOf(value string) (mx provider.MX, ok bool) {
	parts, ok := decoded(value, 2)
	if !ok || parts[0] == "" {
		return mx, false
	}
	return provider.MX{Host: parts[0], Domain: parts[1]}, true
}
