package story

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// What the ledger says is what is found by whoever reads the lines, and knows nothing of the plan.
func TestTheLedgerAgreesWithTheLines(t *testing.T) {
	l, err := Write(t.TempDir(), Options{Seed: 1, PerDay: 400})
	if err != nil {
		t.Fatal(err)
	}
	read := readAll(t, l.Files)
	if read.lines != l.Lines || len(read.attempts) != l.Attempts || read.sessions != l.Sessions || read.gaps != l.Gaps {
		t.Errorf("read %d lines, %d attempts, %d sessions, gaps of %d; the ledger has %d, %d, %d, %d", read.lines, len(read.attempts), read.sessions, read.gaps, l.Lines, l.Attempts, l.Sessions, l.Gaps)
	}
	for k, want := range l.Counts {
		got := read.counts[k]
		if got == nil || got.Attempts != want.Attempts || got.Recipients != want.Recipients || got.Octets != want.Octets || got.TLS != want.TLS || got.Rescued != want.Rescued {
			t.Errorf("%+v: read %+v, the ledger has %+v", k, got, want)
		}
		delete(read.counts, k)
	}
	for k, n := range read.counts {
		t.Errorf("%+v: read %+v, the ledger has none", k, n)
	}
	told := 0
	for _, s := range l.Stories {
		for _, m := range s.Mails {
			for i := range m.Attempts {
				told++
				agrees(t, m, &m.Attempts[i], read.attempts[m.Attempts[i].Key])
			}
		}
	}
	t.Logf("%d stories with %d attempts, among %d", len(l.Stories), told, l.Attempts)
}

// agrees compares an attempt of the ledger with its line.
func agrees(t *testing.T, m *Mail, a *Attempt, e *event.Entry) {
	t.Helper()
	if e == nil {
		t.Errorf("%s: no line %+v", m.Story, a.Key)
		return
	}
	hostile := m.Story == "hostile" // which is not written as it was said
	if e.Session != a.Session || e.Number != a.Number || e.Outcome != a.Outcome || e.SendingIP != a.SendingIP || e.Destination != a.MX || e.Sender != m.Sender || e.Tenant != m.Tenant || e.Account != m.Account ||
		!e.At.Equal(a.At.Truncate(time.Millisecond)) || len(e.Recipients) != len(a.To) {
		t.Errorf("%s: line %+v does not tell of %+v", m.Story, e, a)
		return
	}
	replies := map[string]event.EntryReply{e.Mail.Text: e.Mail, e.Data.Text: e.Data, e.Dot.Text: e.Dot}
	for i, r := range e.Recipients {
		replies[r.Reply.Text] = r.Reply
		if r.Address != a.To[i] && !hostile || r.Fate != a.Fates[i] {
			t.Errorf("%s: %s is %s on the line, the ledger has %s, %s", m.Story, r.Address, r.Fate, a.To[i], a.Fates[i])
		}
	}
	if a.Text == "" || hostile {
		return
	}
	if r, there := replies[a.Text]; !there || r.Code != a.Code || a.Class != "" && r.Class != a.Class {
		t.Errorf("%s: the line has replies %+v, the ledger %q, class %q", m.Story, replies, a.Text, a.Class)
	}
}

type found struct {
	lines, sessions int
	gaps            int64
	attempts        map[history.Key]*event.Entry
	counts          map[CountKey]*Count
	rescued         map[string]bool // session and transaction
	news            []*event.Entry
}

// readAll reads files, and looks whether each gateway's lines are numbered without a gap.
func readAll(t *testing.T, files []string) *found {
	t.Helper()
	x := &found{attempts: make(map[history.Key]*event.Entry), counts: make(map[CountKey]*Count), rescued: make(map[string]bool)}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		next := make(map[string]uint64)
		for e, err := range event.NewReader(bytes.NewReader(text)).All() {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if next[e.Run]++; e.Line != next[e.Run] {
				t.Fatalf("%s: line %d of run %s, want %d", name, e.Line, e.Run, next[e.Run])
			}
			x.lines++
			x.take(e)
		}
	}
	return x
}

func (x *found) take(e *event.Entry) {
	switch e.Type {
	case "session":
		x.sessions++
	case "dropped":
		x.gaps += int64(e.Records) //nolint:gosec // no story has so many
	case "transaction":
		x.attempts[history.Key{Gateway: e.Gateway, Run: e.Run, Line: e.Line}] = e
		k := CountKey{Day: e.At.Truncate(24 * time.Hour), Gateway: e.Gateway, Tenant: e.Tenant, Account: e.Account, Provider: e.Provider, Outcome: e.Outcome, SendingIP: e.SendingIP}
		n := cmp.Or(x.counts[k], new(Count))
		x.counts[k] = n
		n.Attempts++
		n.Recipients += int64(len(e.Recipients) + e.MoreRecipients)
		n.Octets += e.BodyBytes
		if e.TLSMX.State == "tls" {
			n.TLS++
		}
		if x.rescued[fmt.Sprint(e.Session, e.Number)] {
			n.Rescued++
		}
	case "refusal": // it stands before its transaction
		if e.Action == "rescued" {
			x.rescued[fmt.Sprint(e.Session, e.Number)] = true
		}
	default:
		x.news = append(x.news, e)
	}
}

// Each story ends as it says, its refusals mean what it says, and there are more than fifty.
func TestStoriesEndAsTheySay(t *testing.T) {
	l, err := Tell(Options{Seed: 3}, func(string, []byte) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Stories) < 50 {
		t.Errorf("%d stories", len(l.Stories))
	}
	states := make(map[string]map[history.MailState]int)
	for _, s := range l.Stories {
		states[s.Name] = make(map[history.MailState]int)
		for _, m := range s.Mails {
			states[s.Name][m.State]++
			for i, a := range m.Attempts {
				if s.Text != "" && a.Text == s.Text && a.Class != s.Class {
					t.Errorf("%s: attempt %d: %q is %s, not %s", s.Name, i, a.Text, a.Class, s.Class)
				}
			}
		}
	}
	for name, want := range map[string]map[history.MailState]int{
		"fifth try": {history.Refused: 1}, "fifth try, unnamed": {history.Refused: 1}, "waits": {history.Waits: 1}, "arrived": {history.Delivered: 1},
		"twice": {history.Delivered: 1}, "twice, hung up": {history.Delivered: 1}, "two gateways": {history.Delivered: 1}, "given up": {history.GivenUp: 1},
		"thousand": {history.Partly: 1}, "partly": {history.Partly: 1}, "identical": {history.Delivered: 3}, "message id twice": {history.Delivered: 2},
		"queue id again": {history.Delivered: 2}, "sent again": {history.Refused: 1, history.Delivered: 1}, "quota": {history.Delivered: 1}, "lost": {history.Delivered: 1},
		"not rescued": {history.Refused: 1}, "softened": {history.Delivered: 1}, "limited": {history.Delivered: 30}, "limit rejects": {history.Refused: 5},
		"killed": {history.Delivered: 1}, "often": {history.Delivered: 620}, "greylisted": {history.Delivered: 40}, "needs tls": {history.Delivered: 1},
	} {
		if !maps.Equal(states[name], want) {
			t.Errorf("%s: %v, want %v", name, states[name], want)
		}
	}
	if n := len(l.Story("killed").Mails[0].Attempts); n != 1 {
		t.Errorf("of the mail that a kill cut, %d attempts are on record, want 1", n)
	}
	if n := len(l.Story("fifth try").Mails[0].Attempts); n != 5 {
		t.Errorf("the fifth try is one of %d", n)
	}
	if s := l.Story("newsletter"); s.Numbers["unknown"] != 38 || s.Numbers["slowed"] != 30 {
		t.Errorf("newsletter: %v", s.Numbers)
	}
}

// The same is told each time, and something else with another seed.
func TestTheSameStoriesEachTime(t *testing.T) {
	var texts [3]bytes.Buffer
	for i, seed := range []uint64{7, 7, 8} {
		if _, err := Tell(Options{Seed: seed, PerDay: 100}, func(_ string, line []byte) error {
			_, err := texts[i].Write(line)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(texts[0].Bytes(), texts[1].Bytes()) {
		t.Error("the same seed gives other lines")
	}
	if bytes.Equal(texts[0].Bytes(), texts[2].Bytes()) {
		t.Error("another seed gives the same lines")
	}
}

// Whoever cannot write is told, and nothing goes on.
func TestAnErrorEndsTheStories(t *testing.T) {
	full := errors.New("full")
	n := 0
	_, err := Tell(Options{PerDay: 100}, func(string, []byte) error {
		if n++; n > 99 {
			return full
		}
		return nil
	})
	if !errors.Is(err, full) || n != 100 {
		t.Errorf("%v behind %d lines", err, n)
	}
}

// The many of one day can be told alone, and are many.
func TestLinesOfADay(t *testing.T) {
	n := 0
	l, err := Lines(1, 3, 5000, func([]byte) { n++ })
	if err != nil {
		t.Fatal(err)
	}
	if l.Attempts < 4500 || l.Attempts > 5500 || n != l.Lines {
		t.Errorf("%d attempts on %d lines, of which the ledger has %d; want about 5,000", l.Attempts, n, l.Lines)
	}
}

// Of the many, some of every kind that counts are told, in TLS and without, over both gateways.
func TestTheManyAreOfAllKinds(t *testing.T) {
	l, err := Lines(1, 0, 20_000, func([]byte) {})
	if err != nil {
		t.Fatal(err)
	}
	sum := l.CountsBy(func(k CountKey) (CountKey, bool) { return CountKey{Outcome: k.Outcome, Gateway: k.Gateway}, true })
	for _, g := range []string{Tokyo, Osaka} {
		for _, outcome := range []string{"delivered", "deferred", "refused"} {
			if n := sum[CountKey{Outcome: outcome, Gateway: g}]; n.Attempts < 50 {
				t.Errorf("%s has %d attempts that were %s", g, n.Attempts, outcome)
			}
		}
	}
	if len(l.Waiting(l.To)) == 0 {
		t.Error("nothing waits")
	}
}

func BenchmarkLines(b *testing.B) {
	n := 0
	for b.Loop() {
		l, err := Lines(1, 0, 20_000, func([]byte) {})
		if err != nil {
			b.Fatal(err)
		}
		n += l.Attempts
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "attempts/s")
}
