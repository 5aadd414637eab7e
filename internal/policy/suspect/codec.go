package suspect

import (
	"bytes"
	"encoding/binary"
	"errors"
	"time"
)

// kept is what of an account outlives the process, as octets in this order, little-endian. What is counted in the hour at hand, and whom it
// has written to, does not: until that is known again it tells nothing against anybody.
type kept struct {
	Version  uint8
	Scored   uint8
	Mails    uint32
	Begun    int64
	ScoredAt int64
	Score    float32
	Domains  float32
	News     float32
	Day      [24]uint16
	Senders  places
	Sources  places
	Week     [weekHours]uint8
}

const keptVersion = 1

// ErrKept is returned for octets that [Memory.Saved] has not made.
var ErrKept = errors.New("what was kept of an account's habits cannot be read")

// Saved returns what is to be kept of an account; nil if nothing is known.
func (m *Memory) Saved(tenant, name string) []byte {
	key := m.keyOf(tenant, name)
	m.mu.Lock()
	defer m.mu.Unlock()
	a, found := m.accounts.Get(key)
	if !found {
		return nil
	}
	k := kept{
		Version: keptVersion, Scored: a.scored, Mails: a.mails, Begun: a.begun, ScoredAt: a.scoredAt, Score: a.score, Domains: a.domains, News: a.news,
		Day: a.day, Senders: a.senders, Sources: a.sources, Week: a.week,
	}
	out := make([]byte, 0, binary.Size(&k))
	out, err := binary.Append(out, binary.LittleEndian, &k)
	if err != nil {
		return nil // of a fixed size: it cannot be
	}
	return bytes.TrimRight(out, "\x00")
}

// Restore takes over what Saved gave.
func (m *Memory) Restore(tenant, name string, saved []byte, now time.Time) error {
	var k kept
	whole := make([]byte, binary.Size(&k))
	if copy(whole, saved) < len(saved) || len(saved) == 0 {
		return ErrKept
	}
	if _, err := binary.Decode(whole, binary.LittleEndian, &k); err != nil || !k.isSound() {
		return ErrKept
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.account(tenant, m.keyOf(tenant, name), now)
	a.scored, a.mails, a.begun, a.scoredAt, a.score, a.domains, a.news = k.Scored, k.Mails, k.Begun, k.ScoredAt, k.Score, k.Domains, k.News
	a.day, a.senders, a.sources, a.week = k.Day, k.Senders, k.Sources, k.Week
	return nil
}

func (k *kept) isSound() bool {
	return k.Version == keptVersion && k.Scored <= ScoredMost && k.Score >= 0 && k.Score <= 1 && k.Domains >= 0 && k.Domains < 1<<20 && k.News >= 0 && k.News <= 1
}
