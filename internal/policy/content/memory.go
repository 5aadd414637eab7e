package content

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"net/netip"
	"sync"
	"time"

	"kanmon/internal/who/share"
)

// A Memory is what judges learn, beyond a configuration: which messages took too long when they were held. It is safe for concurrent use.
type Memory struct {
	seed maphash.Seed

	mu   sync.Mutex
	slow *share.Map[slowKey, time.Time] // until when
}

// A slowKey is messages of about one size to one MX: of one tenant, for what does not fit is its sender's doing, and another tenant's mail is
// held as before.
type slowKey struct {
	tenant string
	mx     netip.Addr
	size   int // in powers of four; 0: not announced
}

// Bounds of what is remembered of slow MXs.
const (
	mostSlow = 4096
	slowFor  = 24 * time.Hour
)

// NewMemory makes one.
func NewMemory() *Memory {
	return &Memory{seed: maphash.MakeSeed(), slow: share.NewMap[slowKey, time.Time](mostSlow)}
}

func keyOf(tenant string, mx netip.Addr, size int64) slowKey {
	return slowKey{tenant, mx.Unmap(), (bits.Len64(uint64(max(size, 0))) + 1) / 2} //nolint:gosec // it is not negative
}

// tookTooLong notes that a message of a tenant that was held did not reach its MX in time, or could not be kept.
func (m *Memory) tookTooLong(mx netip.Addr, size int64, tenant string, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.slow.Put(keyOf(tenant, mx, size), now.Add(slowFor), tenant)
}

func (m *Memory) wasSlow(mx netip.Addr, size int64, tenant string, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	until, found := m.slow.Get(keyOf(tenant, mx, size))
	return found && now.Before(until)
}

// sampled reports whether a mail is one of so many in a hundred. The seed is this process's own, so that nobody outside can know which of
// an account's mails are, and each account has some.
func (m *Memory) sampled(mail *Mail, percent int) bool {
	var h maphash.Hash
	h.SetSeed(m.seed)
	_, _ = h.WriteString(mail.Tenant)
	_ = h.WriteByte(0)
	_, _ = h.WriteString(mail.Account)
	_ = h.WriteByte(0)
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], mail.Number)
	_, _ = h.Write(n[:])
	return h.Sum64()%100 < uint64(max(percent, 0)) //nolint:gosec // it is not negative
}
