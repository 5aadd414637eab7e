package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"text/tabwriter"
	"time"

	"kanmon/internal/admin"
)

type mxCommand struct {
	adminFlag
	MX netip.Addr `arg:"" name:"address" help:"Address of the MX."`
}

// Run shows what a running kanmon remembers of an MX.
func (k *mxCommand) Run(c *console) error {
	return ask(&k.adminFlag, c.stdout, func(ctx context.Context, a *admin.Client) (admin.MX, error) { return a.MX(ctx, k.MX) },
		func(w io.Writer, mx admin.MX) error { return printMX(w, &mx, time.Now()) })
}

// printMX says what is known, and what follows from it for mail.
func printMX(w io.Writer, mx *admin.MX, now time.Time) error {
	if !mx.Known {
		_, err := fmt.Fprintf(w, "nothing is remembered of the TLS of %s\n", mx.MX)
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	say := func(what, format string, args ...any) {
		fmt.Fprintf(table, "%s\t%s\n", what, fmt.Sprintf(format, args...))
	}
	say("MX", "%s", mx.MX)
	if mx.TLSWorked.IsZero() {
		say("TLS", "has not worked yet")
	} else {
		say("TLS", "worked at %s", when(mx.TLSWorked))
	}
	if !mx.PlainUntil.IsZero() {
		say("plain text", "TLS is not tried %s, but where it must be: %s without a success between", until(mx.PlainUntil, now), count(mx.Strikes, "failure"))
	} else if mx.Strikes > 0 {
		say("plain text", "no: %s without a success between", count(mx.Strikes, "failure"))
	}
	if !mx.ClassicalUntil.IsZero() {
		why := "it has taken no other"
		if mx.ClassicalCause == admin.ClassicalFailed {
			why = "the handshake failed with a post-quantum key share"
		}
		say("key exchange", "classical only %s: %s", until(mx.ClassicalUntil, now), why)
	}
	if !mx.NoTicketsUntil.IsZero() {
		say("resumption", "not tried %s: it broke the connection", until(mx.NoTicketsUntil, now))
	}
	if !mx.Hung.IsZero() {
		say("hang", "no answer in time, last at %s", when(mx.Hung))
	}
	if mx.Tester != "" && now.Before(mx.TestEnds) {
		say("test", "session %s tries TLS now", mx.Tester)
	}
	if len(mx.Failures) > 0 {
		fmt.Fprintln(table, "\nFAILED AT\tSTEP\tCAUSE")
		for _, f := range mx.Failures {
			fmt.Fprintf(table, "%s\t%s\t%s\n", when(f.At), f.Phase, f.Cause)
		}
	}
	return table.Flush()
}

// until says how long something lasts. What is over is tested by the next session.
func until(t, now time.Time) string {
	if now.Before(t) {
		return "until " + when(t)
	}
	return "until the next session, which tests it"
}
