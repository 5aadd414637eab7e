package session

import (
	"testing"
	"unsafe"
)

// A session's own memory is of a size class of the allocator; the next one is 128 octets larger, for each of ten thousand held sessions.
func TestSessionFitsItsSizeClass(t *testing.T) {
	const class, header = 1152, 8 // of the allocator's, in front of what holds pointers
	if size := unsafe.Sizeof(session{}); size+header > class {
		t.Errorf("a session has %d octets, more than the %d of its size class", size, class)
	}
}
