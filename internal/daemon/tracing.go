package daemon

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync"

	"kanmon/internal/admin"
	"kanmon/internal/event"
	"kanmon/internal/event/journal"
)

// A tracing is a trace, and what it needs for as long as it lasts.
type tracing struct {
	*journal.Trace
	end func()
}

// Close ends it.
func (t *tracing) Close() { t.end() }

// Trace implements [admin.Process].
func (o *operator) Trace(q admin.SessionQuery) (admin.Tracing, error) {
	wants, err := o.wants(&q)
	if err != nil {
		return nil, err
	}
	t, err := o.d.files.Trace(q.Tenant, wants)
	if err != nil {
		return nil, &admin.Error{Status: http.StatusTooManyRequests, Err: err}
	}
	if err := o.d.formats(); err != nil {
		t.Close()
		return nil, &admin.Error{Status: http.StatusConflict, Err: err}
	}
	leave := o.d.stream.Overhear() // behind the journal: it must hear whom to hide before it hears what is said
	return &tracing{t, sync.OnceFunc(func() {
		leave()
		t.Close()
		o.d.formatsNoMore()
	})}, nil
}

// wants says which records are of the sessions that are asked for. A name that there is not would be waited for in vain.
func (o *operator) wants(q *admin.SessionQuery) (func(*event.Record) bool, error) {
	var id event.ID
	if q.Session != "" {
		if err := id.UnmarshalText([]byte(q.Session)); err != nil {
			return nil, err
		}
	}
	o.d.mu.Lock()
	current, ips := o.d.current, len(o.d.cfg.SendingIPs)
	o.d.mu.Unlock()
	switch {
	case q.IP.IsValid() && ips > 0 && !o.configured(q.IP):
		return nil, unknownIP(q.IP)
	case q.Provider != "" && current != nil && !current.out.Providers().Named(q.Provider):
		return nil, fmt.Errorf("there is no provider %.60q", q.Provider)
	case q.Tenant != "":
		if err := (&senders{o.d}).known(q.Tenant); err != nil {
			return nil, err
		}
	}
	return func(r *event.Record) bool {
		s := &r.Session
		provider := ""
		if s.Way != nil {
			provider = s.Way.Provider
		}
		return (id == 0 || id == s.ID) && (q.Account == "" || q.Account == r.Account) && (q.Provider == "" || q.Provider == provider) &&
			(!q.IP.IsValid() || q.IP == leftFrom(s)) && (!q.MX.IsValid() || q.MX == s.Destination.Addr())
	}, nil
}

// leftFrom is the address that a session leaves from.
func leftFrom(s *event.Session) netip.Addr {
	if s.SendingIP.IsValid() {
		return s.SendingIP
	}
	return s.Local.Addr()
}

// formats sees that records are formatted, also where they are written nowhere.
func (d *Daemon) formats() error {
	if d.journalInUse() != nil {
		return nil
	}
	if !d.change.TryLock() {
		return errors.New("kanmon is about to reload or to stop: ask again in a moment")
	}
	defer d.change.Unlock()
	if d.journalInUse() != nil {
		return nil
	}
	options, err := d.journalOptions(d.cfg)
	if err != nil {
		return err
	}
	j, err := d.openJournal(options, nil)
	if err != nil {
		return err
	}
	d.exchangeJournal(j)
	return nil
}

// formatsNoMore is the end of formats, unless a journal that writes is there by now, or another trace. Who changes things meanwhile sees to it.
func (d *Daemon) formatsNoMore() {
	if d.files.Traced() || !d.change.TryLock() {
		return
	}
	defer d.change.Unlock()
	if j := d.journalInUse(); j != nil && !writes(j.options) && !d.files.Traced() {
		d.exchangeJournal(nil)
	}
}

func writes(o journal.Options) bool { return o.SessionLog != "" || o.JSON != "" }

// exchangeJournal has everything from now on go to another journal; nil: to none.
func (d *Daemon) exchangeJournal(next *openedJournal) {
	d.mu.Lock()
	before := d.journal
	d.journal = next
	d.mu.Unlock()
	if before != next {
		d.stream.Replace(next.later())
		d.ended.Go(func() { d.closeJournal(before) })
	}
}
