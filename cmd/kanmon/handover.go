package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"kanmon/internal/admin"
)

type handoverCommand struct{ adminFlag }

// Help says what a handover is for.
func (*handoverCommand) Help() string {
	return `Another gateway takes what is new: the network leads mail to it once "kanmon ready" says no here, or has done so before. Sessions go on, mail by mail, until their MSAs end them or are idle for [drain] idle, for at most [drain] soft; then kanmon stops as at SIGTERM. Nobody is told 421 whose mail is under way.

Where nobody else takes what is new, connections are refused from then on. With kanmon.socket they wait in its queue until kanmon runs again.`
}

// Run begins a handover, and says what goes on.
func (k *handoverCommand) Run(c *console) error {
	return ask(&k.adminFlag, c.stdout, func(ctx context.Context, a *admin.Client) (admin.HandedOver, error) { return a.HandOver(ctx) }, printHandedOver)
}

func printHandedOver(w io.Writer, h admin.HandedOver) error {
	soft := time.Duration(h.Soft * float64(time.Second))
	_, err := fmt.Fprintf(w, "%s kanmon takes no new sessions; %s\n", from(time.Duration(h.Notice*float64(time.Second))), goOn(h.Sessions, soft))
	if err == nil && h.Sockets {
		_, err = fmt.Fprintln(w, "systemd holds the sockets: what comes waits there, or another process takes it")
	}
	return err
}

func from(notice time.Duration) string {
	if notice == 0 {
		return "from now on"
	}
	return "in " + notice.String() + " and from then on"
}

func goOn(sessions int, soft time.Duration) string {
	switch sessions {
	case 0:
		return "there are none that go on"
	case 1:
		return fmt.Sprintf("1 goes on, for at most %s", soft)
	default:
		return fmt.Sprintf("%d go on, for at most %s", sessions, soft)
	}
}
