package session

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"reflect"
	"sync"

	"kanmon/internal/share"
)

// Tickets keep what resumes a TLS session with an MX. crypto/tls keeps the whole chain of certificates with each, which an MX makes as long as
// it likes: what is larger than such a thing is, as a rule, is not kept, and the next handshake is a full one. A network of MXs has its part.
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

// ticketSize says how many octets are kept with a ticket, to a few hundred.
func ticketSize(state *tls.ClientSessionState) int {
	ticket, session, err := state.ResumptionState()
	if err != nil || session == nil {
		return len(ticket)
	}
	if all, ok := octetsOf(session); ok {
		return len(ticket) + all
	}
	all, err := session.Bytes()
	if err != nil {
		return maxTicket + 1
	}
	return len(ticket) + len(all)
}

// octetsOf adds up what an MX can make as long as it likes, without a copy of it: each session ends in one ticket or two. Crypto/tls tells
// these lengths to nobody but who looks at its fields; where it names them otherwise, ok is false.
func octetsOf(session *tls.SessionState) (n int, ok bool) {
	if len(ofPeer) != len(ofPeerNames) {
		return 0, false
	}
	all := reflect.ValueOf(session).Elem()
	for _, field := range ofPeer {
		n += octetsIn(all.Field(field))
	}
	return n, true
}

var ofPeerNames = [...]string{"peerCertificates", "verifiedChains", "ocspResponse", "scts"}

// ofPeer are the numbers of the fields of these names: octets, certificates, and slices of them.
var ofPeer = func() (numbers []int) {
	for _, name := range ofPeerNames {
		field, found := reflect.TypeFor[tls.SessionState]().FieldByName(name)
		if element := field.Type; found {
			for element.Kind() == reflect.Slice {
				element = element.Elem()
			}
			if element.Kind() == reflect.Uint8 || element == reflect.TypeFor[*x509.Certificate]() {
				numbers = append(numbers, field.Index[0])
			}
		}
	}
	return numbers
}()

var rawCertificate = func() int {
	field, _ := reflect.TypeFor[x509.Certificate]().FieldByName("Raw")
	return field.Index[0]
}()

func octetsIn(v reflect.Value) (n int) {
	switch {
	case v.Kind() == reflect.Pointer:
		return v.Elem().Field(rawCertificate).Len()
	case v.Type().Elem().Kind() == reflect.Uint8:
		return v.Len()
	}
	for i := range v.Len() {
		n += octetsIn(v.Index(i))
	}
	return n
}

// ticketOwner gives the MX's network. With a server's name for a key, which a policy gives, it is nobody's.
func ticketOwner(key string) string {
	mx, err := netip.ParseAddrPort(key)
	if err != nil {
		return ""
	}
	return networkOf(mx.Addr()).String()
}
