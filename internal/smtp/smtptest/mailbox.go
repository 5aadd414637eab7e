package smtptest

import (
	"bytes"
	"crypto/sha256"
	"net"
	"slices"
	"strings"
	"sync"
)

// A Transaction is a message that an [MX] has accepted: its end of data came and got a 2xx.
type Transaction struct {
	Peer       net.Addr
	Helo       string
	TLS        bool
	Sender     string   // inside the angle brackets
	MailArg    string   // all after "MAIL "
	Recipients []string // the accepted ones
	RcptArgs   []string
	Body       []byte // without dot-stuffing; nil in an MX with OnlyHashes
	Raw        []byte // as it came, without the end of data; nil in an MX with OnlyHashes
	SHA256     [sha256.Size]byte
	Size       int // octets of Body
}

// A Mailbox holds what an [MX] has accepted, and all commands it was sent. It is safe for concurrent use.
type Mailbox struct {
	mu       sync.Mutex
	accepted []Transaction
	commands []string
	numbers  int
}

// Transactions returns the accepted messages in order of acceptance.
func (b *Mailbox) Transactions() []Transaction {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.accepted)
}

// Len is the number of accepted messages.
func (b *Mailbox) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.accepted)
}

// Count is how often a body was accepted: 0 is lost, 2 is a duplicate.
func (b *Mailbox) Count(body []byte) int {
	want := sha256.Sum256(body)
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, t := range b.accepted {
		if t.SHA256 == want {
			n++
		}
	}
	return n
}

// Commands returns all command lines of all connections, without CRLF, in the order they came.
func (b *Mailbox) Commands() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.commands)
}

// nextNumber returns the number for a queue id.
func (b *Mailbox) nextNumber() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.numbers++
	return b.numbers
}

func (b *Mailbox) sawCommand(line string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.commands = append(b.commands, line)
}

func (b *Mailbox) accept(t Transaction, onlyHash bool) {
	t.Body = unstuff(t.Raw)
	t.SHA256, t.Size = sha256.Sum256(t.Body), len(t.Body)
	if onlyHash {
		t.Body, t.Raw = nil, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.accepted = append(b.accepted, t)
}

// unstuff takes away the dot that RFC 5321 §4.5.2 puts before a line that begins with one.
func unstuff(raw []byte) []byte {
	body := bytes.ReplaceAll(append([]byte("\r\n"), raw...), []byte("\r\n."), []byte("\r\n"))
	return body[2:]
}

// stuff is the reverse of unstuff, and ends the last line.
func stuff(body []byte) []byte {
	raw := bytes.ReplaceAll(append([]byte("\r\n"), body...), []byte("\r\n."), []byte("\r\n.."))[2:]
	if len(raw) > 0 && !bytes.HasSuffix(raw, []byte("\r\n")) {
		raw = append(raw, "\r\n"...)
	}
	return raw
}

// A bodyEnd looks for the end of data, in one of several forms.
type bodyEnd struct {
	forms  []string // the true one first
	octets []byte   // CRLF, for the end of the line of DATA, and the body
	form   string   // the one found
}

// push takes an octet. It reports whether the body has ended, and whether it had ended before this octet.
func (e *bodyEnd) push(b byte) (ended, before bool) {
	if b != '\n' && e.endsIn('\r') { // a form that ends in CR must not take the CR of a true end
		return true, true
	}
	e.octets = append(e.octets, b)
	return b == '\n' && e.endsIn('\n'), false
}

func (e *bodyEnd) endsIn(last byte) bool {
	for _, form := range e.forms {
		if form[len(form)-1] == last && bytes.HasSuffix(e.octets, []byte(form)) {
			e.form = form
			return true
		}
	}
	return false
}

// body is what stands before the dot.
func (e *bodyEnd) body() []byte {
	end := len(e.octets) - len(e.form) + strings.IndexByte(e.form, '.')
	return e.octets[2:max(2, end)]
}
