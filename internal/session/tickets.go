package session

import (
	"crypto/tls"
	"net/netip"
	"strings"
	"sync"

	"kanmon/internal/who/share"
)

// Tickets keep what resumes a TLS session with an MX. crypto/tls keeps the whole chain of certificates with each, which
// an MX makes as long as it likes: what is larger than such a thing is, as a rule, is not kept, and the next handshake
// is a full one. A network of MXs has its part.
type tickets struct {
	mu    sync.Mutex
	known *share.Map[string, *tls.ClientSessionState]
}

const (
	mostTickets = 4096
	maxTicket   = 16 << 10 // octets of a ticket and its chain; three usual certificates have five thousand
)

func newTickets() *tickets {
	return &tickets{known: share.NewMap[string, *tls.ClientSessionState](mostTickets)}
}

// Get implements [tls.ClientSessionCache].
func (t *tickets) Get(key string) (*tls.ClientSessionState, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.known.Get(key)
}

// Put implements [tls.ClientSessionCache]: a nil state is to be forgotten.
func (t *tickets) Put(key string, state *tls.ClientSessionState) {
	keep := state != nil && ticketSize(state) <= maxTicket
	t.mu.Lock()
	defer t.mu.Unlock()
	if !keep {
		t.known.Delete(key)
		return
	}
	owner := ""
	if _, renewed := t.known.Get(key); !renewed { // else it stays whose it is
		owner = ticketOwner(key)
	}
	t.known.Put(key, state, owner)
}

// A namedTicket is what one configuration sees of the tickets that shows a name to an MX. By itself crypto/tls keeps tickets by that name
// alone then, and would show that of one host to every other one of its name: to whoever stands at another address, and may have been
// made to stand there.
type namedTicket struct {
	all tls.ClientSessionCache
	key string // the MX's address, and the name
}

// Get implements [tls.ClientSessionCache].
func (t *namedTicket) Get(string) (*tls.ClientSessionState, bool) { return t.all.Get(t.key) }

// Put implements [tls.ClientSessionCache].
func (t *namedTicket) Put(_ string, state *tls.ClientSessionState) { t.all.Put(t.key, state) }

// ticketSize says how many octets are kept with a ticket.
func ticketSize(state *tls.ClientSessionState) int {
	ticket, session, err := state.ResumptionState()
	if err != nil || session == nil {
		return len(ticket)
	}
	all, err := session.Bytes()
	if err != nil {
		return maxTicket + 1
	}
	return len(ticket) + len(all)
}

// ticketOwner returns the MX's network.
func ticketOwner(key string) string {
	address, _, _ := strings.Cut(key, " ") // from the name that was shown to it
	mx, err := netip.ParseAddrPort(address)
	if err != nil {
		return ""
	}
	return networkOf(mx.Addr()).String()
}
