package main

import (
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

// someone sends to one address.
func someone(tenant int, kind kind) sender {
	return sender{tenant: tenant, account: "news", kind: kind, address: func(int) string { return "a@b" }}
}

func receipt(l *ledger, m *mail, from string) {
	l.receive(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from)), m.message())
}

// noticeOf is a mail that comes back, as Postfix writes it.
func noticeOf(m *mail) []byte {
	return append([]byte("Auto-Submitted: auto-replied\nSubject: Undelivered Mail Returned to Sender\n\nThe mail system\n\n"), m.message()...)
}

const (
	fromOne   = "203.0.113.10:4000"
	fromOther = "203.0.113.11:4001"
)

// TestAudit gives each mail another fate and finds all of them in the account, by the messages' own text.
func TestAudit(t *testing.T) {
	l := newLedger()
	mails := map[string]*mail{}
	for _, fate := range []string{"arrived", "twice", "thrice", "waiting", "lost", "refused", "refused and arrived", "to be returned"} {
		mails[fate] = l.enter(someone(1, normal), 0, 0)
		if strings.HasPrefix(fate, "refused") {
			l.submitted(mails[fate], net.ErrClosed)
			continue
		}
		l.submitted(mails[fate], nil)
	}
	for _, fate := range []string{"returned", "returned, still queued", "returned and arrived"} {
		mails[fate] = l.enter(someone(1, normal), 0, 0)
		l.submitted(mails[fate], nil)
		l.takeBack(nil, noticeOf(mails[fate]))
	}
	receipt(l, mails["returned and arrived"], fromOne)
	of := l.enter(someone(1, tarpit), 0, 0) // another kind
	l.submitted(of, nil)
	receipt(l, mails["arrived"], fromOne)
	receipt(l, mails["twice"], fromOther)
	receipt(l, mails["twice"], fromOne)
	for range 3 {
		receipt(l, mails["thrice"], fromOne)
	}
	receipt(l, mails["refused and arrived"], fromOne)

	found := queued{map[string]bool{}, map[string]bool{mails["to be returned"].id: true, mails["returned, still queued"].id: true}}
	for _, fate := range []string{"waiting", "arrived", "refused", "returned, still queued"} {
		found.mails[mails[fate].id] = true
	}
	got := l.audit(ofKind(normal), found)
	clients := got.Clients
	got.Clients = nil
	want := audit{Submitted: 11, Accepted: 9, Arrived: 5, Waiting: 1, Lost: 1, Twice: 2, Bounced: 3, Returning: 1}
	if got.Submitted != want.Submitted || got.Accepted != want.Accepted || got.Arrived != want.Arrived ||
		got.Waiting != want.Waiting || got.Lost != want.Lost || got.Twice != want.Twice || got.Bounced != want.Bounced || got.Returning != want.Returning {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if clients[netip.MustParseAddr("203.0.113.10")] != 4 || clients[netip.MustParseAddr("203.0.113.11")] != 1 || len(clients) != 2 {
		t.Errorf("first receipts came from %v", clients)
	}
	if without := l.audit(ofKind(normal), queued{}); without.Lost != 3 || without.Waiting != 0 {
		t.Errorf("without queues %+v: want 3 lost, none waiting", without)
	}
}

// TestFaults makes one fault at a time in an account without any.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(l *ledger, m *mail)
		want string // "": no fault
	}{
		{"none", func(*ledger, *mail) {}, ""},
		{"lost", func(l *ledger, _ *mail) { l.submitted(l.enter(someone(1, normal), 0, 0), nil) }, "1 mails are lost"},
		{"twice", func(l *ledger, m *mail) { receipt(l, m, fromOne) }, "1 arrived twice"},
		{"unknown", func(l *ledger, _ *mail) { l.receive(nil, []byte("Subject: not ours\r\n\r\n")) }, "1 unknown"},
		{"returned by nobody", func(l *ledger, _ *mail) { l.takeBack(nil, []byte("Auto-Submitted: auto-replied\r\n\r\n")) }, "1 unknown"},
		{"mail for a mailbox", func(l *ledger, m *mail) { l.takeBack(nil, m.message()) }, "1 unknown"},
		{"refused", func(l *ledger, _ *mail) { l.submitted(l.enter(someone(1, normal), 0, 0), net.ErrClosed) }, "1 were refused: map[" + net.ErrClosed.Error()},
		{"strange address", func(l *ledger, _ *mail) {
			m := l.enter(someone(1, normal), 0, 0)
			l.submitted(m, nil)
			receipt(l, m, "10.20.1.10:4000")
		}, "10.20.1.10"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLedger()
			var last *mail
			for _, from := range []string{fromOne, fromOther} {
				last = l.enter(someone(2, normal), 0, 0)
				l.submitted(last, nil)
				receipt(l, last, from)
			}
			c.make(l, last)
			err := l.faults(l.audit(ofKind(normal), queued{}))
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestOneSendingIP is not what is to be compared.
func TestOneSendingIP(t *testing.T) {
	l := newLedger()
	m := l.enter(someone(1, normal), 0, 0)
	l.submitted(m, nil)
	receipt(l, m, fromOne)
	if err := l.faults(l.audit(ofKind(normal), queued{})); err == nil {
		t.Error("mail from one sending IP alone is taken for mail from both")
	}
}

// TestQueued reads files as Postfix writes them: records with a type, a length and no line ends.
func TestQueued(t *testing.T) {
	l := newLedger()
	one, other := l.enter(someone(3, mass), 0, 0), l.enter(someone(3, mass), 0, 0)
	file := func(m *mail) string {
		return "S\x11news@msa3.exampleN\x13Subject: ExperimentN\x18" + idField + m.id + "N\x00N\x1aAll mail passes the gate."
	}
	found := queued{map[string]bool{}, map[string]bool{}}
	for _, content := range []string{file(one), "S\x00N\x1cAuto-Submitted: auto-replied" + file(other), "half a file"} {
		found.add([]byte(content))
	}
	if want := (queued{map[string]bool{one.id: true}, map[string]bool{other.id: true}}); !reflect.DeepEqual(found, want) {
		t.Errorf("got %v, want %v", found, want)
	}
}
