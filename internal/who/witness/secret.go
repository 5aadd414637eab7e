package witness

import (
	"crypto/rand"
	"encoding/binary"

	"github.com/dchest/siphash"
)

// A Secret makes hashes of names that nobody outside can choose to be the same. They last as long as it does: what is
// kept under it means the same in the next process. It hides nothing: who has it can try names.
type Secret [16]byte

// NewSecret makes one.
func NewSecret() (s Secret) {
	_, _ = rand.Read(s[:]) // never fails
	return s
}

// Hash is of a name.
func (s *Secret) Hash(name string) uint64 {
	return siphash.Hash(binary.LittleEndian.Uint64(s[:8]), binary.LittleEndian.Uint64(s[8:]), []byte(name))
}
