package daemon

import (
	"net/netip"
	"slices"

	"kanmon/internal/admin"
	"kanmon/internal/session"
)

// MX implements [admin.MXs]. What is remembered outlives reloads.
func (o *operator) MX(addr netip.Addr) admin.MX {
	known, ok := o.d.live.TLSOf(addr)
	return shownMX(addr, &known, ok)
}

// PlainMXs implements [admin.MXs].
func (o *operator) PlainMXs() admin.PlainMXs {
	plain, remembered := o.d.live.InPlainText()
	slices.SortFunc(plain, func(a, b session.PlainMX) int { return a.MX.Compare(b.MX) })
	all := admin.PlainMXs{Remembered: remembered, Since: o.d.started, MXs: make([]admin.MX, 0, len(plain))}
	for i := range plain {
		all.MXs = append(all.MXs, shownMX(plain[i].MX, &plain[i].MXTLS, true))
	}
	return all
}

func shownMX(addr netip.Addr, known *session.MXTLS, ok bool) admin.MX {
	shown := admin.MX{
		MX: addr, Known: ok, TLSWorked: known.Worked, ClassicalUntil: known.ClassicalUntil, NoTicketsUntil: known.NoTicketsUntil,
		PlainUntil: known.PlainUntil, Hung: known.Hung, Strikes: known.Strikes, TestEnds: known.TestEnds,
	}
	if !known.ClassicalUntil.IsZero() {
		if shown.ClassicalCause = admin.ClassicalNoOther; known.Broke {
			shown.ClassicalCause = admin.ClassicalFailed
		}
	}
	if known.Tester != 0 {
		shown.Tester = known.Tester.String()
	}
	for _, f := range known.Failures {
		shown.Failures = append(shown.Failures, admin.MXFailure{At: f.At, Phase: f.Phase.String(), Cause: f.Cause, Why: f.Why.String(), Lack: f.Why.Lacked()})
	}
	return shown
}
