package web

import (
	"context"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// empty is a history that has nothing yet.
type empty struct{ history.Store }

func (empty) Status(context.Context) (history.Status, error)                    { return history.Status{}, nil }
func (empty) Counts(context.Context, history.CountsOf) ([]history.Count, error) { return nil, nil }
func (empty) Times(context.Context, history.TimesOf) ([]history.Times, error)   { return nil, nil }
func (empty) Searched(context.Context, history.Search) error                    { return nil }

func (empty) Shapes(context.Context, history.Filter, history.Page) ([]history.Shape, history.Next, error) {
	return nil, "", nil
}

func (empty) Attempts(context.Context, history.Filter, history.Page) ([]history.Attempt, history.Next, error) {
	return nil, "", nil
}

func (empty) Mails(context.Context, history.Filter, history.Page) ([]history.Mail, history.Next, error) {
	return nil, "", nil
}

func (empty) Waiting(context.Context, history.Filter, time.Time) ([]history.Waiting, error) {
	return nil, nil
}

func (empty) Attempt(context.Context, history.Key) (*history.Attempt, *event.Entry, error) {
	return nil, nil, history.ErrGone
}

func (empty) Events(context.Context, history.EventsOf, history.Page) ([]event.Entry, history.Next, error) {
	return nil, "", nil
}

func (empty) Searches(context.Context, history.Page) ([]history.Search, history.Next, error) {
	return nil, "", nil
}

func TestAnEmptyHistoryIsShownAsEmpty(t *testing.T) {
	b := newRig(t, func(o *Options) { o.History = empty{} }).as(Act)
	for path, want := range map[string]string{
		"/providers": "no mail in this time", "/providers/docomo": "No mail went to docomo in this time.", "/refusals": "none", "/attempts": "none in this time",
		"/timeline": "nothing", "/audit": "nobody has ordered anything", "/audit/searches": "nobody has looked", "/tenants/acme/history": "History of acme", "/would": "Nothing in this time", "/about": "Newest line",
	} {
		b.get(path).want(t, 200, want)
	}
	b.post("/find", "term", "bob@receiver.example").want(t, 200, "Nothing was found")
	for path, head := range map[string]string{"/providers.csv": "provider,attempts,", "/refusals.csv": "class,rule,", "/attempts.csv": "at_utc,session,", "/audit.csv": "at_utc,gateway,who,what\n"} {
		if got := b.get(path).want(t, 200); !strings.HasPrefix(got.body, head) {
			t.Errorf("%s begins with %.60q, want %q", path, got.body, head)
		}
	}
	b.get("/mails/0000000000000001").want(t, 404, "History does not have this")
}
