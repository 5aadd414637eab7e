package inspect

import (
	"errors"
	"io"
	"net/netip"
	"sync"
)

// A Mail is a message and its envelope, as scanners get them.
type Mail struct {
	ID         string // under which the scanner may log it
	Tenant     string // in whose part it counts
	Account    string // "": none is known, and Tenant stands for it
	Source     netip.Addr
	Helo       string
	Sender     string   // as it came, inside the angle brackets
	Recipients []string // likewise
	UTF8       bool     // SMTPUTF8 was said
	SendingIP  netip.Addr
	Octets     int64            // that Open gives
	Open       func() io.Reader // the octets without dot-stuffing and without the end of data. Several may read at once
	Scanners   []string         // that it is put to, by their names; nil: to all
}

// User is for whom a scanner counts the mail: the account, else the tenant.
func (m *Mail) User() string {
	if m.Account != "" {
		return m.Account
	}
	return m.Tenant
}

// errShut is what a scan reads that goes on behind its time.
var errShut = errors.New("nobody waits for the scan any more")

// A view is how scans read a message: until it is shut. Its octets may be overwritten behind that.
type view struct {
	mu   sync.RWMutex // held for reading while octets are copied: memory to memory, which blocks nobody for long
	open bool
	of   func() io.Reader
}

func newView(m Mail) (*view, *Mail) {
	v := &view{open: true, of: m.Open}
	m.Open = func() io.Reader { return &reading{of: v} }
	return v, &m
}

// shut makes all that read get errShut from now on, and waits for reads that are under way.
func (v *view) shut() {
	v.mu.Lock()
	v.open, v.of = false, nil
	v.mu.Unlock()
}

type reading struct {
	of   *view
	from io.Reader
}

func (r *reading) Read(p []byte) (int, error) {
	r.of.mu.RLock()
	defer r.of.mu.RUnlock()
	if !r.of.open {
		return 0, errShut
	}
	if r.from == nil {
		r.from = r.of.of()
	}
	return r.from.Read(p)
}
