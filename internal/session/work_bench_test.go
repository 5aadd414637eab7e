package session_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// BenchmarkWork is what each kind of a session's work takes of a processor, the kernel's part included, on the session's own thread: what its
// parts of a share of the work are weighed by (pace.go).
func BenchmarkWork(b *testing.B) {
	const commands, octets = 1000, 4 << 20
	b.Run("command", func(b *testing.B) {
		var all time.Duration
		for b.Loop() {
			all += sessionOf(b, commands, 0) - sessionOf(b, 0, 0)
		}
		b.ReportMetric(float64(all.Nanoseconds())/float64(b.N)/commands/1000, "us/command")
	})
	b.Run("message", func(b *testing.B) {
		var all time.Duration
		for b.Loop() {
			all += sessionOf(b, 0, octets) - sessionOf(b, 0, 1000)
		}
		b.ReportMetric(float64(all.Nanoseconds())/float64(b.N)/(octets>>14)/1000, "us/16KiB")
	})
	b.Run("session", func(b *testing.B) {
		var all time.Duration
		for b.Loop() {
			all += sessionOf(b, 0, 0)
		}
		b.ReportMetric(float64(all.Nanoseconds())/float64(b.N)/1000, "us/session")
	})
	b.Run("handshake", func(b *testing.B) {
		cert := smtptest.Certificate(b, smtptest.CertificateOptions{})
		var all time.Duration
		for b.Loop() {
			near, far := tcpPair(b)
			server := tls.Server(far, newTLSServer(cert))
			go func() { _ = server.Handshake() }()
			all += onThread(func() {
				if err := tls.Client(near, &tls.Config{InsecureSkipVerify: true}).Handshake(); err != nil {
					b.Error(err)
				}
			})
			near.Close()
			far.Close()
		}
		b.ReportMetric(float64(all.Nanoseconds())/float64(b.N)/1000, "us/handshake")
	})
}

// onThread gives what a function takes of a processor by itself.
func onThread(do func()) time.Duration {
	now := func() time.Duration {
		var t unix.Timespec
		_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
		return time.Duration(t.Nano())
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begun := now()
	do()
	return now() - begun
}

// sessionOf gives what a session takes with so many recipients in groups of a hundred, and then a message of so many octets, 0: none.
func sessionOf(b *testing.B, commands, octets int) time.Duration {
	msa, near := tcpPair(b)
	far, mx := tcpPair(b)
	e := &testEngine{Engine: session.Engine{Recorder: release{}, Live: new(session.Live)}, Judge: indifferent{}}
	e.leaves(dialOnce(far))
	took := make(chan time.Duration)
	go func() {
		took <- onThread(func() { e.Serve(near, session.Origin{Source: msaAddr, Destination: mxAddr}) })
	}()
	buf := make([]byte, 64<<10)
	step := func(from, to net.Conn, text string) { passes(b, from, to, []byte(text), buf) }
	both := func(commands, replies string) {
		step(msa, mx, commands)
		step(mx, msa, replies)
	}
	hello := func(from, to net.Conn, text string) { // of which what comes of it may be as long as it likes
		if _, err := from.Write([]byte(text)); err != nil {
			b.Fatal(err)
		}
		if _, err := to.Read(buf); err != nil {
			b.Fatal(err)
		}
	}
	hello(mx, msa, "220 mx\r\n")
	hello(msa, mx, "EHLO msa\r\n")
	hello(mx, msa, "250-mx\r\n250 PIPELINING\r\n")
	both("MAIL FROM:<a@example.com>\r\n", "250 ok\r\n")
	for range commands / 100 {
		both(string(bytes.Repeat([]byte("RCPT TO:<b@example.net>\r\n"), 100)), string(bytes.Repeat([]byte("250 ok\r\n"), 100)))
	}
	if octets > 0 {
		both("RCPT TO:<b@example.net>\r\n", "250 ok\r\n")
		both("DATA\r\n", "354 go\r\n")
		both(string(bytes.Repeat([]byte("0123456789abcdef0123456789abcdef0123456789abcd\r\n"), octets/48))+".\r\n", "250 ok\r\n")
	}
	both("QUIT\r\n", "221 bye\r\n")
	msa.Close()
	mx.Close()
	return <-took
}

// passes writes at one end and reads as much at the other.
func passes(b *testing.B, from, to net.Conn, octets, buf []byte) {
	go func() { _, _ = from.Write(octets) }()
	for left := len(octets); left > 0; {
		n, err := to.Read(buf[:min(len(buf), left)])
		if err != nil && !errors.Is(err, io.EOF) || n == 0 {
			b.Fatalf("%v, %d of %d octets are still to come of %.40q", err, left, len(octets), octets)
		}
		left -= n
	}
}
