package main

import (
	"context"
	"fmt"
	"io"

	"kanmon/internal/admin"
)

type sessionsCommands struct {
	List sessionsCommand    `cmd:"" default:"withargs" help:"List the sessions that run, those that are held first: since when, and for whom they wait."`
	End  sessionsEndCommand `cmd:"" help:"Have one session end, with 421 where a reply is possible. Its mail stays queued at the MSA. Between a message and the MX's reply to it the reply is waited for."`
}

type sessionsEndCommand struct {
	adminFlag
	Session string `arg:"" name:"id" help:"The session, as \"kanmon sessions\" and the records name it."`
	Reason  string `required:"" help:"The reason, for whoever reads it later." placeholder:"TEXT"`
}

// Run has a session end.
func (k *sessionsEndCommand) Run(c *console) error {
	return ask(&k.adminFlag, c.stdout, func(ctx context.Context, a *admin.Client) (admin.SessionEnd, error) {
		return a.EndSession(ctx, k.Session, k.Reason)
	}, printSessionEnd)
}

func printSessionEnd(w io.Writer, end admin.SessionEnd) error {
	came := "has ended"
	switch end.Came {
	case admin.SessionWaits:
		came = "waits for the reply of the MX, which has its message, and ends behind that"
	case admin.SessionSoon:
		came = "ends as soon as what it does now is done: its MSA may still be reading why"
	}
	_, err := fmt.Fprintf(w, "session %s %s\n", end.Session, came)
	return err
}
