package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	miekg "github.com/miekg/dns"
)

// bufferSize is how long an answer by UDP may be: one that fits into a packet on every path (RFC 9715).
const bufferSize = 1232

const headerSize = 12 // octets (RFC 1035 section 4.1.1)

// Errors of one question to one server.
var (
	errForeign   = errors.New("what came is no answer to the question")
	errMalformed = errors.New("the answer is malformed")
	errCut       = errors.New("the answer is cut short")
)

// A Dial connects to a server. [net.Dialer.DialContext] is one.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Exchange asks one server one question, and keeps nothing: by UDP, and again by TCP if that gave no clean and whole answer. Each may
// take as long as try says. "." is the root. Secure is what the server says: whether that is to be believed is the caller's to know.
func Exchange(ctx context.Context, server, asked string, kind Kind, try time.Duration) Answer {
	name, ok := canonical(asked)
	if asked == "." {
		name, ok = "", true
	}
	if !ok {
		return failed(ErrName)
	}
	a, _ := exchange(ctx, new(net.Dialer).DialContext, server, question{name, kind}, try)
	return a
}

// A question is what is asked.
type question struct {
	name string // as [canonical] gives it; "": the root
	kind Kind
}

// exchange is [Exchange]; silent reports whether nothing came that the server has said.
func exchange(ctx context.Context, dial Dial, server string, q question, try time.Duration) (a Answer, silent bool) {
	defer func() {
		if p := recover(); p != nil { // strangers write what is read here: it costs this question, and not the process
			a, silent = failed(fmt.Errorf("%w: panic: %v", errMalformed, p)), false
		}
	}()
	m := new(miekg.Msg).SetQuestion(q.name+".", uint16(q.kind))
	m.AuthenticatedData = true // and not DO: the bit is wanted, not the signatures (RFC 6840 section 5.7)
	m.SetEdns0(bufferSize, false)
	wire, err := m.Pack()
	if err != nil {
		return failed(fmt.Errorf("write the question: %w", err)), false
	}
	answer, err := by(ctx, dial, "udp", server, wire, try)
	if errors.Is(err, errForeign) || errors.Is(err, errMalformed) || errors.Is(err, errCut) {
		answer, err = by(ctx, dial, "tcp", server, wire, try)
	}
	if err != nil {
		return failed(err), !errors.Is(err, errMalformed) && !errors.Is(err, errCut)
	}
	return read(answer, q), false
}

// by asks by UDP or TCP. It ends with the context.
func by(ctx context.Context, dial Dial, network, server string, wire []byte, try time.Duration) (*miekg.Msg, error) {
	end := time.Now().Add(try)
	dialing, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	conn, err := dial(dialing, network, server) // connected: the kernel drops what comes from elsewhere
	if err != nil {
		return nil, why(ctx, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := conn.SetDeadline(end); err != nil {
		return nil, err
	}
	var packet []byte
	if network == "udp" {
		packet, err = overUDP(conn, wire)
	} else {
		packet, err = overTCP(conn, wire)
	}
	if err != nil {
		return nil, why(ctx, err)
	}
	return unpack(packet, wire)
}

// why makes an error one for people: it is that of the context if that has ended, and there is one for all that took too long.
func why(ctx context.Context, err error) error {
	var late net.Error
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case ctx.Err() != nil, errors.As(err, &late) && late.Timeout():
		return errLate{}
	}
	return err
}

// errLate is that nothing came in time. It is a [net.Error].
type errLate struct{}

func (errLate) Error() string   { return "no answer in time" }
func (errLate) Timeout() bool   { return true }
func (errLate) Temporary() bool { return true }

func overUDP(conn net.Conn, wire []byte) ([]byte, error) {
	if _, err := conn.Write(wire); err != nil {
		return nil, err
	}
	packet := make([]byte, bufferSize)
	n, err := conn.Read(packet)
	return packet[:n], err
}

// overTCP has lengths before messages (RFC 1035 section 4.2.2).
func overTCP(conn net.Conn, wire []byte) ([]byte, error) {
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...)); err != nil {
		return nil, err
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, err
	}
	packet := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(conn, packet)
	return packet, err
}

// unpack reads a packet that should be the answer to a question, both as they were on the wire.
func unpack(packet, asked []byte) (*miekg.Msg, error) {
	if len(packet) < headerSize || packet[0] != asked[0] || packet[1] != asked[1] {
		return nil, errForeign
	}
	q, m := new(miekg.Msg), new(miekg.Msg)
	if err := q.Unpack(asked); err != nil {
		return nil, fmt.Errorf("read our own question: %w", err)
	}
	err := m.Unpack(packet)
	bare := len(m.Question) == 0 && m.Rcode != miekg.RcodeSuccess && m.Rcode != miekg.RcodeNameError // some refuse without repeating the question
	switch {
	case !m.Response || m.Opcode != q.Opcode, !bare && !same(m.Question, q.Question[0]):
		return nil, errForeign
	case m.Truncated:
		return nil, errCut
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	case !whole(m, packet):
		return nil, errMalformed
	}
	return m, nil
}

// same reports whether there is one question, and which. A server may write it in another case.
func same(list []miekg.Question, q miekg.Question) bool {
	return len(list) == 1 && list[0].Qtype == q.Qtype && list[0].Qclass == q.Qclass && told(list[0].Name) == told(q.Name)
}

// whole reports whether all the records are there that the header counts: the library is content with fewer.
func whole(m *miekg.Msg, packet []byte) bool {
	for i, n := range [...]int{len(m.Question), len(m.Answer), len(m.Ns), len(m.Extra)} {
		if int(binary.BigEndian.Uint16(packet[4+2*i:])) != n {
			return false
		}
	}
	return true
}
