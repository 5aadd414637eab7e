package outlet

import (
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"kanmon/internal/event"

	"kanmon/internal/outlet/standing"
	"kanmon/internal/smtp/smtptest"
	"kanmon/test/handclock"
)

// A site is a gateway whose parts can be restarted: what it has learnt is in a file.
type site struct {
	*rig
	learnt *learnt
	t      testing.TB
	path   string
	dns    *smtptest.DNS
	clock  *handclock.Clock
	moves  int // sessions that had to leave the IP they began with
	end    func()
}

func newSite(t testing.TB, g gateway) *site {
	t.Helper()
	s := &site{t: t, path: filepath.Join(t.TempDir(), "standing.db"), clock: handclock.At(time.Now().Round(0))}
	s.dns = &smtptest.DNS{MXs: map[string]string{}}
	s.restart(g)
	return s
}

// restart ends the gateway, if it runs, and begins it anew with a configuration.
func (s *site) restart(g gateway) {
	s.t.Helper()
	if s.end != nil {
		s.end()
	}
	store, err := standing.OpenSQLite(s.path)
	if err != nil {
		s.t.Fatal(err)
	}
	o, state, end := g.begin(s.t, part{store: store, clock: s.clock.Now, dns: s.dns, wait: time.Second})
	s.rig, s.learnt = o, state.learnt
	ended := false
	s.end = func() {
		if ended {
			return
		}
		ended = true
		for _, err := range append(end(), store.Close()) {
			if err != nil {
				s.t.Error(err)
			}
		}
	}
	s.t.Cleanup(s.end)
}

// A mail as a session has it.
type mailOf struct {
	source, sender, recipient string
	mx                        string
	session                   event.ID
}

// send is what a session does with its leg: it gives the sending IP that the mail leaves from; the zero Addr if it cannot.
func (s *site) send(m mailOf) netip.Addr {
	s.t.Helper()
	req := request{Session: m.session, Source: netip.MustParseAddr(m.source), Destination: netip.MustParseAddrPort(m.mx)}
	ip, ok := s.dialled(req)
	moved := false
	for _, step := range []func(){
		func() { req.Sender, req.SenderKnown = m.sender, true },
		func() { req.Recipient = m.recipient },
	} {
		if step(); ok && s.MayStay(req, ip) {
			continue
		}
		moved = true
		if ip, ok = s.dialled(req); !ok {
			return netip.Addr{}
		}
	}
	if moved {
		s.moves++
	}
	return ip
}

// dialled is Dial without the connection.
func (s *site) dialled(req request) (netip.Addr, bool) {
	q := s.query(req)
	choice, err := s.router.Choose(q)
	if err != nil {
		s.t.Fatal(err)
	}
	ip, _, err := s.permitted(s.foresee(choice, q), req)
	return ip.Address, err == nil
}

// refuse lets the MX refuse a mail at RCPT.
func (s *site) refuse(m mailOf, ip netip.Addr, code int, text string) {
	r := refusedTo(m.source, ip, netip.MustParseAddrPort(m.mx), m.sender, m.recipient, text)
	r.Code = code
	s.Judge(r)
}
