package daemon

import (
	"net/netip"

	"kanmon/internal/admin"
)

// MX implements [admin.MXs]. What is remembered outlives reloads.
func (o *operator) MX(addr netip.Addr) admin.MX {
	known, ok := o.d.live.TLSOf(addr)
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
		shown.Failures = append(shown.Failures, admin.MXFailure{At: f.At, Phase: f.Phase.String(), Cause: f.Cause})
	}
	return shown
}
