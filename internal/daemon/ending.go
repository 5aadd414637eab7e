package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"kanmon/internal/admin"
	"kanmon/internal/event"
	"kanmon/internal/policy"
	"kanmon/internal/policy/contain"
	"kanmon/internal/session"
)

// EndSession implements [admin.Process]. Whose session it was goes into the audit, and what has come of the order.
func (o *operator) EndSession(ctx context.Context, name, reason, who string) (admin.SessionEnd, error) {
	var id event.ID
	if err := id.UnmarshalText([]byte(name)); err != nil {
		return admin.SessionEnd{}, err
	}
	seen := o.seen(id)
	end := admin.SessionEnd{Session: id.String()}
	came := o.d.live.End(ctx, id, who)
	switch came {
	case session.EndingNone:
		return end, &admin.Error{Status: http.StatusNotFound, Err: fmt.Errorf("session %s does not run, or no more", id)}
	case session.EndingPasses:
		return end, &admin.Error{Status: http.StatusConflict, Err: errors.New("the session is passed through: nobody knows whether its MX has a whole message and is about to answer, and so it is left alone")}
	case session.EndingWaits:
		end.Came = admin.SessionWaits
	case session.EndingSoon:
		end.Came = admin.SessionSoon
	default:
		end.Came = admin.SessionEnded
	}
	c := policy.Change{
		Did: "end_session", By: who, Why: reason, Before: "it runs", After: "session " + end.Session + ": " + endedAs[end.Came],
	}
	if seen != nil {
		shown := shownSession(seen, seen.Start)
		c.Subject, c.Provider = contain.Subject{Tenant: seen.Tenant, Account: seen.Account}, seen.Provider
		c.Before = fmt.Sprintf("to %s, waited for: %s, step %s", seen.Destination.Addr(), shown.WaitsFor, shown.Step)
	}
	if err := o.d.policy.AuditOrder(c); err != nil {
		return end, &admin.Error{Status: http.StatusInternalServerError, Err: err}
	}
	return end, nil
}

// endedAs says in the audit what came of an order.
var endedAs = map[string]string{
	admin.SessionEnded: "ended", admin.SessionWaits: "ends behind the MX's reply to its message", admin.SessionSoon: "ends",
}

// seen gives what a session does; nil: it does not run.
func (o *operator) seen(id event.ID) *session.Seen {
	for seen := range o.d.live.All() {
		if seen.ID == id {
			found := *seen
			return &found
		}
	}
	return nil
}
