package shape

import (
	"net/netip"
	"time"

	"kanmon/internal/policy/limit"
)

const (
	// TightenEvery is how often an amount is halved at most: what is under way still meets the amount before.
	TightenEvery = 10 * time.Minute
	// givenBack is what of the whole amount an hour without such a reply gives back.
	givenBack = 0.1
)

// A Tightening is an amount that a provider found too much; or, with the count None, all amounts of what is counted for all connections
// together, since the times of mail speak against the sending IP there: times do not tell of what there is too much.
type Tightening struct {
	IP       netip.Addr
	Provider string
	Count    Count
	Base     int64     // what it is a part of, where nobody knows an amount; 0: that of the Limit
	Part     float64   // that was left when it was tightened last
	At       time.Time // when that was
	Heard    time.Time // when such a reply came last, or the times still spoke
}

// ByTime reports whether it is for what the times say, and not for a reply.
func (t *Tightening) ByTime() bool { return t.Count == None }

type tightKey struct {
	ip       netip.Addr
	provider string
	count    Count
}

func (t *Tightening) key() tightKey { return tightKey{t.IP, t.Provider, t.Count} }

// partAt is what is left of the amount at a time.
func (t *Tightening) partAt(now time.Time) float64 {
	return t.Part + givenBack*float64(max(0, now.Sub(t.Heard)/time.Hour))
}

func (t *Tightening) over(now time.Time) bool { return t.partAt(now) >= 1 }

// of is what is left of an amount.
func (t *Tightening) of(amount int64, now time.Time) int64 {
	if amount == 0 || t.Base != 0 && t.Base < amount {
		amount = t.Base
	}
	return max(1, int64(float64(amount)*t.partAt(now)))
}

// Tighten halves what a sending IP may have at a provider. The lane is the connection that met the reply; nil: it is not known. It reports
// whether anything is another amount now: not so soon after the last time, and not where nobody knows how much it was.
func (m *Memory) Tighten(t *Takes, ip netip.Addr, c Count, l *Lane) (tightened Tightening, done bool) {
	now := m.clock()
	key := tightKey{ip, t.provider, c}
	var inUse int64
	if t.kept[c].amount == 0 {
		inUse = m.inUse(t, ip, c, l) // of what may be tightened elsewhere: before the lock
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	was, known := m.tight[key]
	if known && was.over(now) {
		known = false
		m.drop(key)
	}
	switch {
	case known && now.Sub(was.At) < TightenEvery:
		was.Heard = now
		m.tight[key] = was
		return was, false
	case known:
		was.Part = was.partAt(now)
	default:
		was = Tightening{IP: ip, Provider: t.provider, Count: c, Base: inUse, Part: 1}
		if t.kept[c].amount == 0 && inUse < 1 {
			return was, false
		}
	}
	was.Part, was.At, was.Heard = was.Part/2, now, now
	if least := 1 / float64(max(was.Base, t.kept[c].amount, 1)); was.Part < least {
		was.Part = least
	}
	if !known {
		m.tightened.Add(1)
	}
	m.tight[key] = was
	m.changed(was)
	return was, true
}

// inUse is how much there was of what nobody knows the amount of; 0: nobody counts it.
func (m *Memory) inUse(t *Takes, ip netip.Addr, c Count, l *Lane) int64 {
	switch {
	case c == Connections:
		l := Lane{m: m, takes: t, ip: ip, text: m.textOf(ip)}
		return m.counter.Explain(l.want(nil, c))[0].Used
	case c == MessagesPerConnection && l != nil:
		return int64(l.mails)
	default:
		return 0
	}
}

// How far the times tighten: half is left of what they speak against, and half of that where it is worse. A finding is one word, said again as
// long as it stands; it is no reply to each of many mails.
const (
	leftByTime  = 1. / 2
	leftOfWorst = 1. / 4
)

// TightenByTime halves all that a sending IP may have at a provider that answers it slowly, once, and with worst once more, and holds it so until
// it is not called any more. It reports whether less is left than before: nothing is, where nobody knows how much the provider takes.
func (m *Memory) TightenByTime(t *Takes, ip netip.Addr, worst bool) (tightened Tightening, done bool) {
	most := t.mostTogether()
	if most == 0 {
		return tightened, false
	}
	now, key, least := m.clock(), tightKey{ip, t.provider, None}, leftByTime
	if worst {
		least = leftOfWorst
	}
	least = max(least, 1/float64(max(most, 2))) // what is one everywhere is whole again no later than others
	m.mu.Lock()
	defer m.mu.Unlock()
	was, known := m.tight[key]
	if known && was.over(now) {
		known = false
		m.drop(key)
	}
	if !known {
		was = Tightening{IP: ip, Provider: t.provider, Part: 1, Heard: now}
		m.tightened.Add(1)
	}
	was.Part, was.Heard = was.partAt(now), now
	if done = !known || was.Part > least && now.Sub(was.At) >= TightenEvery; done {
		was.Part, was.At = max(was.Part/2, least), now
	}
	m.tight[key] = was
	m.changed(was)
	return was, done
}

// ForgetTimes gives back what the times have taken.
func (m *Memory) ForgetTimes() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key := range m.tight {
		if key.count == None {
			m.drop(key)
		}
	}
}

// Restore takes over what a process before has tightened.
func (m *Memory) Restore(t Tightening) {
	now := m.clock()
	if t.At.After(now) { // the clock was set back
		t.At = now
	}
	if t.Heard.After(now) {
		t.Heard = now
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.tight[t.key()]; !known && !t.over(now) {
		m.tightened.Add(1)
		m.tight[t.key()] = t
	}
}

// drop forgets a tightening that is over.
func (m *Memory) drop(key tightKey) {
	delete(m.tight, key)
	m.tightened.Add(-1)
}

// left gives how much of a count a sending IP may have now, 0 where nobody knows of a bound, and what has tightened it: of what a reply and what the
// times have left, the lower amount holds.
func (m *Memory) left(t *Takes, c Count, ip netip.Addr) (amount int64, by Tightening, tight bool) {
	amount = t.kept[c].amount
	if m.tightened.Load() == 0 {
		return amount, by, false
	}
	whole, now := amount, m.clock()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range [...]tightKey{{ip, t.provider, c}, {ip, t.provider, None}} {
		held, found := m.tight[key]
		switch {
		case !found || key.count == None && (!c.IsTogether() || whole == 0):
		case held.over(now):
			m.drop(key)
		default:
			if of := held.of(whole, now); !tight || of < amount {
				amount, by, tight = of, held, true
			}
		}
	}
	return amount, by, tight
}

// Amount is how much of a count a sending IP may have now; 0: nobody knows of a bound.
func (m *Memory) Amount(t *Takes, c Count, ip netip.Addr) int64 {
	amount, _, _ := m.left(t, c, ip)
	return amount
}

// limitOf is the same of what is counted for all connections together.
func (m *Memory) limitOf(t *Takes, c Count, ip netip.Addr) *limit.Limit {
	l := t.kept[c].limit
	if amount, _, tight := m.left(t, c, ip); tight {
		l = t.resize(c, amount)
	}
	return l
}

// ByTime gives what the times have left of what a sending IP may have at a provider; nil: they have taken nothing there.
func (m *Memory) ByTime(t *Takes, ip netip.Addr) (all []Limit) {
	for _, c := range together {
		if amount, by, tight := m.left(t, c, ip); tight && by.ByTime() {
			all = append(all, Limit{Count: c, Amount: amount, Per: t.kept[c].limit.Rule().Per, Keep: true})
		}
	}
	return all
}
