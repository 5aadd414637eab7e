package daemon

import (
	"kanmon/internal/event"
	"kanmon/internal/outlet/route"
	"kanmon/internal/who/mailbox"
)

// A recorder gives the stream a generation's records, with whose they are: so that one tenant's cannot keep another's out.
type recorder struct {
	*event.Stream
	router *route.Router // nil: there are no tenants
}

// Record implements [session.Recorder].
func (r recorder) Record(rec *event.Record) {
	if rec.Tenant == "" || rec.Transaction == nil || r.router == nil { // else the gate has said it
		rec.Tenant = r.tenant(rec)
	}
	r.Stream.Record(rec)
}

// tenant is whose the mail is that a record is of; "" where that is not known.
func (r recorder) tenant(rec *event.Record) string {
	if r.router == nil {
		return ""
	}
	s := &rec.Session
	q := route.Query{Source: s.Source.Addr(), Port: s.Port, Destination: s.Destination}
	owner := r.router.Owner(q)
	if owner.Later && rec.Transaction != nil {
		q.Sender, q.SenderKnown = mailbox.Form(rec.Text(rec.Transaction.Sender)), true
		owner = r.router.Owner(q)
	}
	return owner.Name()
}
