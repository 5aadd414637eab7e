package session_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kanmon/internal/event"
	"kanmon/internal/session"
)

// exchange is a step of a peer: write fixed octets, read a number of them, without allocating.
type exchange struct {
	read  int
	write []byte
}

func play(conn net.Conn, steps []exchange, buf []byte) error {
	for _, s := range steps {
		if _, err := conn.Write(s.write); err != nil {
			return err
		}
		if _, err := io.ReadFull(conn, buf[:s.read]); err != nil {
			return err
		}
	}
	return nil
}

// tcpPair gives both ends of a TCP connection on the loopback.
func tcpPair(tb testing.TB) (a, b net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		tb.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		tb.Fatal(err)
	}
	return a, b
}

// relay is a session between two TCP peers that have exchanged EHLO. It runs as kanmon does with sending IPs.
func relay(tb testing.TB, rec session.Recorder) (msa, mx net.Conn) {
	return relayMoved(tb, rec, indifferent{})
}

func relayMoved(tb testing.TB, rec session.Recorder, mover mover) (msa, mx net.Conn) {
	return relayThrough(tb, &testEngine{Engine: session.Engine{Recorder: rec}, Judge: indifferent{}, Mover: mover})
}

func relayThrough(tb testing.TB, e *testEngine) (msa, mx net.Conn) {
	msa, near := tcpPair(tb)
	far, mx := tcpPair(tb)
	if _, isTest := tb.(*testing.T); isTest { // one that hangs says where
		_ = msa.SetDeadline(time.Now().Add(2 * time.Minute))
		_ = mx.SetDeadline(time.Now().Add(2 * time.Minute))
	}
	e.leaves(dialOnce(far))
	if e.Live == nil {
		e.Live = new(session.Live)
	}
	e.Start(near, session.Origin{Source: msaAddr, Destination: mxAddr}, func() {})
	passesStep(tb, mx, msa, "220 mx\r\n")
	passesStep(tb, msa, mx, "EHLO msa\r\n")
	passesStep(tb, mx, msa, "250-mx\r\n250 PIPELINING\r\n")
	return msa, mx
}

// passesStep writes at one end, and reads at the other what comes of it.
func passesStep(tb testing.TB, from, to net.Conn, text string) {
	if _, err := from.Write([]byte(text)); err != nil {
		tb.Fatal(err)
	}
	if _, err := to.Read(make([]byte, 4096)); err != nil {
		tb.Fatal(err)
	}
}

// relayInTLS is relayMoved to an MX that has TLS: what the MX reads and writes is inside it.
func relayInTLS(t *testing.T, cert tls.Certificate, mover mover, live *session.Live) (msa, mx net.Conn) {
	msa, near := tcpPair(t)
	far, plain := tcpPair(t)
	e := &testEngine{Engine: session.Engine{Recorder: release{}}, Judge: indifferent{}, Mover: mover}
	e.Dialer, e.Ways, e.Live = dialOnce(far), e, live
	e.Start(near, session.Origin{Source: msaAddr, Destination: mxAddr}, func() {})
	passesStep(t, plain, msa, "220 mx\r\n")
	passesStep(t, msa, plain, "EHLO msa\r\n")
	passesStep(t, plain, plain, "250-mx\r\n250 STARTTLS\r\n")
	server := tls.Server(plain, newTLSServer(cert))
	if _, err := plain.Write([]byte("220 go\r\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Read(make([]byte, 4096)); err != nil { // EHLO
		t.Fatal(err)
	}
	passesStep(t, server, msa, "250-mx\r\n250 PIPELINING\r\n")
	return msa, server
}

// release is the cheapest Recorder.
type release struct{}

func (release) Record(r *event.Record) { r.Release() }

// messageSteps are the two sides of a pipelined message.
func messageSteps(size int) (msa, mx []exchange) {
	envelope := []byte("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n")
	body := append(bytes.Repeat([]byte("0123456789abcdef0123456789abcdef0123456789abcd\r\n"), size/48), ".\r\n"...)
	accept := []byte("250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 go\r\n")
	queued := []byte("250 2.0.0 Ok: queued as 4711\r\n")
	return []exchange{{len(accept), envelope}, {len(queued), body}},
		[]exchange{{len(envelope), accept}, {len(body), queued}}
}

// playMX reads first, then writes.
func playMX(conn net.Conn, steps []exchange, buf []byte) error {
	for _, s := range steps {
		if _, err := io.ReadFull(conn, buf[:s.read]); err != nil {
			return err
		}
		if _, err := conn.Write(s.write); err != nil {
			return err
		}
	}
	return nil
}

// An MX that is waited for, or left idle, is looked after by keep-alive from the first look on.
func TestAnMXThatVanishesIsFound(t *testing.T) {
	for name, say := range map[string]string{"waited for": "MAIL FROM:<a@example.com>\r\n", "idle": ""} {
		msa, near := tcpPair(t)
		far, mx := tcpPair(t)
		defer msa.Close()
		defer mx.Close()
		e := &testEngine{Engine: session.Engine{Live: new(session.Live)}, Judge: indifferent{}, Mover: indifferent{}}
		e.leaves(dialOnce(far))
		e.Start(near, session.Origin{Source: msaAddr, Destination: mxAddr}, func() {})
		passesStep(t, mx, msa, "220 mx\r\n")
		passesStep(t, msa, mx, "EHLO msa\r\n")
		passesStep(t, mx, msa, "250 mx\r\n")
		if say != "" {
			passesStep(t, msa, mx, say)
		}
		on := func() (on int) {
			raw, err := far.(*net.TCPConn).SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			_ = raw.Control(func(fd uintptr) { on, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE) })
			return on
		}
		for until := time.Now().Add(20 * time.Second); on() != 60; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(until) {
				t.Fatalf("%s: the first probe comes after %d s", name, on())
			}
		}
	}
}
