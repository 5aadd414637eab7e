package suspect

import (
	"fmt"
	"hash/maphash"
	"net/netip"
	"testing"
	"time"

	"kanmon/internal/event"
)

var (
	seed  = maphash.MakeSeed()
	start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC) // a Monday
	msa   = netip.MustParseAddr("10.20.1.5")
)

func hash(s string) uint64 { return maphash.String(seed, s) }

func small() *Memory { return New(Options{Hash: hash, Accounts: 1000, Filter: 1 << 20}) }

// office lets an account of a team live for some weeks: some mails in each hour of the working day, to the same people.
func office(m *Memory, tenant, account string, from time.Time, weeks int) (end time.Time) {
	for d := range 7 * weeks {
		at := from.Add(time.Duration(d) * day)
		if w := at.Weekday(); w == time.Saturday || w == time.Sunday {
			continue
		}
		for hour := range 9 {
			now := at.Add(time.Duration(hour) * time.Hour)
			for i := range 4 {
				to := fmt.Sprintf("r%d", (d+hour+i)%30)
				m.Ask(&Mail{Tenant: tenant, Account: account, Known: reached(i), Sender: hash("acme.example"), Source: msa, Recipient: hash(to)}, now)
				m.Began(&Beginning{Tenant: tenant, Account: account, Sender: hash("acme.example"), Source: msa}, now)
				m.Reached(tenant, account, hash(to), hash(to[:2]), now)
			}
		}
	}
	return from.Add(time.Duration(7*weeks) * day)
}

func reached(n int) Known {
	k := old
	k.Reached, k.Answered = n, n
	return k
}

func partOf(s *event.Suspicion, g event.Ground) float64 {
	for _, p := range s.Parts {
		if p.Ground == g {
			return p.P
		}
	}
	return 0
}

func ask(m *Memory, now time.Time, change func(*Mail)) *event.Suspicion {
	mail := &Mail{Tenant: "acme", Account: "a", Known: old, Sender: hash("acme.example"), Source: msa}
	if change != nil {
		change(mail)
	}
	return m.Ask(mail, now)
}

// Who goes on as ever is not suspected; what is unlike its past is, each by its own part.
func TestHabits(t *testing.T) {
	m := small()
	end := office(m, "acme", "a", start, 6)
	if s := ask(m, end.Add(time.Hour), nil); s.Score > 0 {
		t.Errorf("as ever: %s", s.Says())
	}
	at3 := time.Date(2026, 4, 14, 3, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		ground event.Ground
		p      float64
		at     time.Time
		change func(*Mail)
	}{
		{event.GroundHour, 0.15, at3, nil},
		{event.GroundHour, 0, time.Date(2026, 4, 14, 18, 0, 0, 0, time.UTC), nil}, // beside the last hour of the day
		{event.GroundForeign, 0.15, end, func(m *Mail) { m.Sender = hash("other.example") }},
		{event.GroundForeign, 0, end, func(m *Mail) { m.Sender = 0 }}, // a bounce
		{event.GroundNewSource, 0.1, end, func(m *Mail) { m.Source = netip.MustParseAddr("10.20.9.9") }},
		{event.GroundBurst, 0.25, end.Add(time.Hour), func(m *Mail) { m.Known = reached(300) }},
	} {
		if s := ask(m, c.at, c.change); partOf(s, c.ground) != c.p {
			t.Errorf("%s at %s: want %g, got %s", c.ground, c.at, c.p, s.Says())
		}
	}
}

// An account that sends much has no past on its first day, and where it sends from and as whom says nothing: so it is with all of them when
// kanmon begins.
func TestOnItsFirstDayNothingIsForeign(t *testing.T) {
	m := small()
	another := netip.MustParseAddr("10.20.9.9")
	for n := range 60 {
		at := start.Add(time.Duration(n) * time.Minute)
		m.Began(&Beginning{Tenant: "acme", Account: "a", Sender: hash("acme.example"), Source: msa}, at)
		if s := ask(m, at, nil); s.Score > 0 {
			t.Fatalf("mail %d: %s", n, s.Says())
		}
	}
	m.Began(&Beginning{Tenant: "acme", Account: "a", Sender: hash("acme.example"), Source: another}, start.Add(23*time.Hour))
	for _, at := range []time.Time{start.Add(23 * time.Hour), start.Add(25 * time.Hour)} {
		if s := ask(m, at, func(m *Mail) { m.Source = another }); s.Score > 0 {
			t.Errorf("at %s, from the second MSA of the first day: %s", at, s.Says())
		}
	}
	if s := ask(m, start.Add(25*time.Hour), func(m *Mail) { m.Sender = hash("other.example") }); partOf(s, event.GroundForeign) != 0.15 {
		t.Errorf("on its second day, as somebody else: %s", s.Says())
	}
}

// Twenty recipients nobody has written to before are one thing in a week in which all are, since kanmon has just begun, and another one
// behind.
func TestNewRecipients(t *testing.T) {
	m := small()
	writes := func(now time.Time, n int) {
		for i := range n {
			m.Reached("acme", "a", hash(fmt.Sprint(now, i)), hash("x"), now)
		}
	}
	writes(start, 40)
	if s := ask(m, start.Add(time.Minute), nil); partOf(s, event.GroundNewRecipient) > 0 {
		t.Errorf("in the first hour: %s", s.Says())
	}
	now := start.Add(7 * day)
	writes(now, 19)
	if s := ask(m, now, nil); partOf(s, event.GroundNewRecipient) > 0 {
		t.Errorf("of 19: %s", s.Says())
	}
	if s := ask(m, now, func(m *Mail) { m.Recipient = hash("nobody yet") }); partOf(s, event.GroundNewRecipient) != 0.3 {
		t.Errorf("with the 20th, at its RCPT: %s", s.Says())
	}
	if s := ask(m, now.Add(time.Hour), nil); partOf(s, event.GroundNewRecipient) > 0 {
		t.Errorf("an hour behind: %s", s.Says())
	}
	later := now.Add(2 * time.Hour)
	for i := range 25 { // to those that it knows
		m.Reached("acme", "a", hash(fmt.Sprint(now, i%19)), hash("x"), later)
	}
	if s := ask(m, later, nil); partOf(s, event.GroundNewRecipient) > 0 {
		t.Errorf("to those it knows: %s", s.Says())
	}
}

// Whom an account has not written to for longer than both halves of the filter is new again, and nobody before one is over.
func TestFilterForgets(t *testing.T) {
	f := newFilter(1 << 16)
	now := start
	f.turnTo(now)
	f.add(hash("one"), "acme")
	for _, after := range []time.Duration{0, 14 * day} {
		if f.turnTo(now.Add(after)); !f.has(hash("one")) {
			t.Errorf("forgotten behind %s", after)
		}
	}
	if f.turnTo(now.Add(31 * day)); f.has(hash("one")) {
		t.Error("not forgotten behind 31 days")
	}
}

// A filter as full as it may be takes one in fifty for known, at most.
func TestFilterErrs(t *testing.T) {
	f := newFilter(1 << 20)
	f.turnTo(start)
	for i := 0; f.taken[0].All() < f.most-2000; i++ {
		f.add(hash(fmt.Sprint("in", i)), fmt.Sprint("t", i%1000))
	}
	wrong := 0
	const asked = 50_000
	for i := range asked {
		if f.has(hash(fmt.Sprint("out", i))) {
			wrong++
		}
	}
	t.Logf("%d keys in %d octets: %.2f %% false", f.taken[0].All(), 1<<19, 100*float64(wrong)/asked)
	if wrong > asked/50 {
		t.Errorf("%d of %d", wrong, asked)
	}
}

// What scanners say: one bad mail among good ones is little, six in a row are all that the part can be, and a day behind it is nearly
// nothing.
func TestScores(t *testing.T) {
	m, now := small(), start
	says := func() float64 { return partOf(ask(m, now, nil), event.GroundScores) }
	for range 20 {
		m.Scored("acme", "a", 0, now)
	}
	m.Scored("acme", "a", 1, now)
	if p := says(); p < 0.05 || p > 0.07 {
		t.Errorf("one of 21: %g", p)
	}
	m = small()
	for i := range 6 {
		if p := says(); i < 5 && p >= 0.7 {
			t.Errorf("%d of %d: %g already", i, i, p)
		}
		m.Scored("acme", "a", 1, now)
	}
	if p := says(); p != 0.7 {
		t.Errorf("six of six: %g", p)
	}
	now = now.Add(6 * time.Hour)
	if p := says(); p < 0.34 || p > 0.36 {
		t.Errorf("six hours behind: %g", p)
	}
	now = now.Add(18 * time.Hour)
	if p := says(); p > 0.06 {
		t.Errorf("a day behind: %g", p)
	}
	if s := ask(m, now, func(m *Mail) { m.Account = "b" }); s.Score > 0 {
		t.Errorf("another account: %s", s.Says())
	}
}

// Scores are evidence: with them conduct is not all there is.
func TestScoresOpenTheCeiling(t *testing.T) {
	m := small()
	office(m, "acme", "a", start, 6)
	night := time.Date(2026, 4, 14, 3, 0, 0, 0, time.UTC)
	for range 20 {
		m.Scored("acme", "a", 1, night)
	}
	s := ask(m, night, func(m *Mail) {
		m.Known = reached(500)
		m.Known.Unknown = 250
	})
	if s.Score <= ConductMost {
		t.Errorf("%s", s.Says())
	}
}

// An hour in which evidence spoke against an account is not its habit; one without is.
func TestEvidenceIsNoHabit(t *testing.T) {
	for _, spoken := range []bool{false, true} {
		m := small()
		end := office(m, "acme", "a", start, 6)
		night := end.Add(18 * time.Hour)
		for i := range 50 {
			k := reached(10 * i)
			if spoken {
				k.Level, k.Outcomes = 2, true
			}
			m.Ask(&Mail{Tenant: "acme", Account: "a", Known: k}, night)
			m.Began(&Beginning{Tenant: "acme", Account: "a"}, night)
		}
		s := ask(m, night.Add(7*day), func(m *Mail) { m.Known = reached(490) })
		if is := partOf(s, event.GroundBurst) > 0; is != spoken {
			t.Errorf("contained for outcomes %t: a week later %s", spoken, s.Says())
		}
	}
}

// A night of abuse that nobody has refused is not usual in the next one; what goes on for weeks is.
func TestDoubtBecomesHabitSlowly(t *testing.T) {
	m := small()
	end := office(m, "acme", "a", start, 6)
	night := func(d int) (worst *event.Suspicion) {
		now := end.Add(18*time.Hour + time.Duration(d)*day)
		for i := range 400 {
			k := reached(i)
			k.Unknown = i / 8
			worst = m.Ask(&Mail{Tenant: "acme", Account: "a", Known: k, Recipient: uint64(d*1000 + i)}, now)
			m.Began(&Beginning{Tenant: "acme", Account: "a"}, now)
			m.Reached("acme", "a", hash(fmt.Sprint(d, i)), hash(fmt.Sprint(i)), now)
		}
		return worst
	}
	first, second := night(0), night(1)
	if first.Score < doubtful || second.Score < doubtful {
		t.Errorf("%s\nthe next night %s", first.Says(), second.Says())
	}
	last := second
	for d := range 60 {
		last = night(2 + d)
	}
	if last.Score >= first.Score-0.2 {
		t.Errorf("behind two months still %s", last.Says())
	}
}

// One tenant with a million accounts forgets its own, and no other's.
func TestAMillionAccounts(t *testing.T) {
	const most = 10_000
	m := New(Options{Hash: hash, Accounts: most, Filter: 1 << 20})
	end := office(m, "acme", "a", start, 6)
	for i := range 1_000_000 {
		m.Began(&Beginning{Tenant: "flood", Account: fmt.Sprint(i)}, end)
		m.Reached("flood", "x", uint64(i)*0x9e3779b97f4a7c15, 1, end)
	}
	if n := m.accounts.Len(); n > most {
		t.Errorf("%d accounts are kept", n)
	}
	if s := ask(m, time.Date(2026, 4, 14, 3, 0, 0, 0, time.UTC), nil); partOf(s, event.GroundHour) == 0 {
		t.Errorf("acme's account is forgotten: %s", s.Says())
	}
	if m.filter.takes("flood") || !m.filter.takes("acme") {
		t.Errorf("of %d keys flood has %d, and may have more %t; acme may %t", m.filter.most, m.filter.taken[0].Of("flood"), m.filter.takes("flood"), m.filter.takes("acme"))
	}
}

// A clock that goes back, or far ahead, makes nobody suspect, and breaks nothing.
func TestClockJumps(t *testing.T) {
	for _, jump := range []time.Duration{-40 * 365 * day, -30 * day, -2 * time.Hour, -time.Minute, 400 * day} {
		m := small()
		end := office(m, "acme", "a", start, 6)
		m.Scored("acme", "a", 1, end)
		before := ask(m, end.Add(time.Hour), nil).Score
		now := end.Add(time.Hour + jump).Truncate(24 * time.Hour).Add(10 * time.Hour)
		if s := ask(m, now, nil); s.Score > before {
			t.Errorf("%s: %s", jump, s.Says())
		}
		office(m, "acme", "a", now, 2)
		if s := ask(m, now.Add(14*day), nil); s.Score > before {
			t.Errorf("two weeks behind %s: %s", jump, s.Says())
		}
	}
}

// Over a restart habits and age of habits stay; whom it has written to does not, and makes nobody suspect.
func TestRestart(t *testing.T) {
	m := small()
	end := office(m, "acme", "a", start, 6)
	for range 5 {
		m.Scored("acme", "a", 1, end)
	}
	next := small()
	if err := next.Restore("acme", "a", m.Saved("acme", "a"), end); err != nil {
		t.Fatal(err)
	}
	if m.Saved("acme", "b") != nil {
		t.Error("something is kept of an account that is not known")
	}
	for _, at := range []time.Time{end, end.Add(6 * time.Hour), time.Date(2026, 4, 14, 3, 0, 0, 0, time.UTC)} {
		a, b := ask(m, at, nil), ask(next, at, nil)
		if a.Says() != b.Says() {
			t.Errorf("%s: %s\nnow %s", at, a.Says(), b.Says())
		}
	}
	for i := range 100 {
		next.Reached("acme", "a", hash(fmt.Sprint("r", i)), hash("x"), end.Add(day))
	}
	if s := ask(next, end.Add(day), nil); partOf(s, event.GroundNewRecipient) > 0 {
		t.Errorf("a day behind the restart: %s", s.Says())
	}
	for _, bad := range [][]byte{nil, {}, {9}, {1, 200}, make([]byte, 5000)} {
		if err := next.Restore("acme", "z", bad, end); err == nil {
			t.Errorf("%d octets are taken", len(bad))
		}
	}
}

// Lists, forwarders and bounces have no habits that would tell anything.
func TestApart(t *testing.T) {
	m := small()
	office(m, "acme", "a", start, 6)
	s := ask(m, time.Date(2026, 4, 14, 3, 0, 0, 0, time.UTC), func(m *Mail) {
		m.Apart, m.Known, m.Source = true, reached(5000), netip.MustParseAddr("10.20.9.9")
	})
	if s.Score > 0 {
		t.Error(s.Says())
	}
}
