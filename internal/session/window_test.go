package session_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// slowly is a connection that is read no faster than so.
type slowly struct {
	net.Conn
	octet time.Duration
}

func (c slowly) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	time.Sleep(time.Duration(n) * c.octet)
	return n, err
}

// reading serves an MX on connections that are read slowly, through a small window.
type reading struct {
	net.Listener
	window int
	octet  time.Duration
}

func (l reading) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if err := conn.(interface{ SetReadBuffer(int) error }).SetReadBuffer(l.window); err != nil {
		return nil, err
	}
	return slowly{conn, l.octet}, nil
}

// newReading is a world whose MX reads through a window of so many octets, and takes so long for each.
func newReading(t *testing.T, window int, octet time.Duration) *world {
	w := &world{}
	w.engine.Engine = session.Engine{Observe: true, Live: new(session.Live), Recorder: &w.record, TLSToMX: session.ClientTLS()}
	w.engine.leaves(dialFunc(w.dial))
	l, err := w.net.Listen(mxAddr)
	if err != nil {
		t.Fatal(err)
	}
	w.listener = l
	w.done.Go(func() { w.mx.Serve(reading{l, window, octet}) })
	return w
}

// bodyOf is a message of so many octets.
func bodyOf(octets int) []byte {
	return bytes.Repeat([]byte("0123456789abcdef0123456789abcdef0123456789abcd\r\n"), octets/48)
}

// sendsSlowly says a message in pieces, one behind each pause.
func sendsSlowly(t *testing.T, conn net.Conn, body []byte, pieces int, pause time.Duration) *smtptest.MSA {
	msa := smtptest.NewMSA(t, conn)
	msa.Expect(220)
	for _, line := range []string{"EHLO msa.example.com", "MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "DATA"} {
		msa.Command(line)
	}
	for i := range pieces {
		time.Sleep(pause)
		if _, err := conn.Write(body[i*len(body)/pieces : (i+1)*len(body)/pieces]); err != nil {
			t.Fatal(err)
		}
	}
	msa.Command(".")
	msa.Quit()
	return msa
}

// How long an MX's window keeps a message is on record, in plain text and inside TLS, and by itself: an MSA that is slow, or both, change nothing of it.
func TestWindowOfTheMXIsOnRecord(t *testing.T) {
	const octets = 192_000
	for name, tc := range map[string]struct {
		inTLS    bool
		window   int
		octet    time.Duration // that the MX takes
		pieces   int           // that the MSA sends
		pause    time.Duration
		from, to time.Duration
	}{
		"an MX that reads 20 KB/s":                        {false, 8 << 10, 50 * time.Microsecond, 1, 0, 8 * time.Second, 10 * time.Second},
		"inside TLS":                                      {true, 8 << 10, 50 * time.Microsecond, 1, 0, 8 * time.Second, 11 * time.Second},
		"an MSA that sends 20 KB/s":                       {false, 64 << 10, 0, 100, 100 * time.Millisecond, 0, 0},
		"such an MSA, inside TLS":                         {true, 64 << 10, 0, 100, 100 * time.Millisecond, 0, 0},
		"an MX that reads as fast as the MSA sends":       {false, 64 << 10, 50 * time.Microsecond, 100, 100 * time.Millisecond, 0, 100 * time.Millisecond},
		"a slow MSA, and an MX that takes twice its time": {false, 8 << 10, 100 * time.Microsecond, 100, 100 * time.Millisecond, 15 * time.Second, 19 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newReading(t, tc.window, tc.octet)
				if tc.inTLS {
					w.mx.TLS = &tls.Config{Certificates: []tls.Certificate{smtptest.Certificate(t, smtptest.CertificateOptions{})}}
				}
				var kept keeper
				w.engine.Recorder = &kept
				sendsSlowly(t, w.connect(), bodyOf(octets), tc.pieces, tc.pause)
				w.close()
				if len(kept.transactions) != 1 || kept.transactions[0].BodyBytes != octets {
					t.Fatalf("%d transactions: %+v", len(kept.transactions), kept.transactions)
				}
				tx := kept.transactions[0]
				if tx.Window < tc.from || tx.Window > tc.to {
					t.Errorf("the window kept the message for %s, want %s to %s (body %s)", tx.Window, tc.from, tc.to, tx.Body)
				}
				note := fmt.Sprintf(" the MX's window kept the message from being written for %s", tx.Window.Round(time.Millisecond))
				if said := strings.Contains(strings.Join(kept.lines, "\n"), note); said != (tx.Window >= time.Second) {
					t.Errorf("session log says so: %v, of %s", said, tx.Window)
				}
			})
		})
	}
}

// The window is that of the mail at hand: the next mail of a session has its own.
func TestWindowIsOfOneMail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newReading(t, 8<<10, 50*time.Microsecond)
		var kept keeper
		w.engine.Recorder = &kept
		msa := smtptest.NewMSA(t, w.connect())
		msa.Deliver("a@example.com", []string{"b@example.net"}, bodyOf(96_000), true)
		msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
		msa.Quit()
		w.close()
		if len(kept.transactions) != 2 || kept.transactions[0].Window < 4*time.Second || kept.transactions[1].Window != 0 {
			t.Fatalf("%+v", kept.transactions)
		}
	})
}

// Over TCP it is the kernel that says when there is no room: what a slow MSA is waited for is not in it.
func TestWindowOverTCP(t *testing.T) {
	body := bodyOf(1_920_000)
	for name, tc := range map[string]struct {
		holds  time.Duration // that the MX does not read for, in the message
		inTLS  bool
		pieces int
		pause  time.Duration
	}{
		"an MX that stops reading": {holds: 600 * time.Millisecond, pieces: 1},
		"inside TLS":               {holds: 600 * time.Millisecond, inTLS: true, pieces: 1},
		"an MSA that sends slowly": {pieces: 10, pause: 100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			far, near := tcpPair(t)
			msa, mine := tcpPair(t)
			for _, err := range []error{near.(*net.TCPConn).SetReadBuffer(128 << 10), far.(*net.TCPConn).SetWriteBuffer(128 << 10)} {
				if err != nil {
					t.Fatal(err)
				}
			}
			w := &world{}
			if tc.inTLS {
				w.mx.TLS = &tls.Config{Certificates: []tls.Certificate{smtptest.Certificate(t, smtptest.CertificateOptions{})}}
			}
			var kept keeper
			w.engine.Engine = session.Engine{Observe: true, Live: new(session.Live), Recorder: &kept, TLSToMX: session.ClientTLS()}
			w.engine.leaves(dialOnce(far))
			w.done.Go(func() { w.mx.ServeConn(&holding{Conn: near, behind: 300_000, long: tc.holds}) })
			w.done.Go(func() { w.engine.Serve(mine, session.Origin{Source: msaAddr, Destination: mxAddr}) })
			sendsSlowly(t, msa, body, tc.pieces, tc.pause)
			w.done.Wait()
			if len(kept.transactions) != 1 || kept.transactions[0].BodyBytes != int64(len(body)) {
				t.Fatalf("%d transactions: %+v", len(kept.transactions), kept.transactions)
			}
			tx := kept.transactions[0]
			if tx.Window < tc.holds*9/10 {
				t.Errorf("the window kept the message for %s, want %s at least", tx.Window, tc.holds)
			}
			if pauses := time.Duration(tc.pieces) * tc.pause; tc.holds == 0 && (tx.Body < pauses*9/10 || tx.Window > tx.Body-pauses*9/10) {
				t.Errorf("the window kept the message for %s of %s, of which the MSA paused for %s", tx.Window, tx.Body, pauses)
			}
		})
	}
}

// holding is a connection that is not read for a while, behind so many octets.
type holding struct {
	net.Conn
	behind int
	long   time.Duration
}

func (c *holding) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if before := c.behind; before > 0 {
		if c.behind -= n; c.behind <= 0 {
			time.Sleep(c.long)
		}
	}
	return n, err
}

// Of a message that a rescue has sent again it is the window of the MX that took it: the one that refused it was slow by itself.
func TestWindowIsOfTheLastConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, other := newReading(t, 8<<10, 50*time.Microsecond), newWorld(t)
		var kept keeper
		w.engine.Observe, w.engine.Recorder = false, &kept
		w.engine.Judge, w.engine.Mover = &listingJudge{Judgement: session.Judgement{Rescue: true}}, indifferent{}
		w.mx.Reply = always(".", listed)
		w.engine.Dialer = dialFunc(func(ctx context.Context, r session.DialRequest) (session.Outbound, error) {
			if len(r.Avoid) == 0 {
				return w.dial(ctx, r)
			}
			out, err := other.dial(ctx, r)
			out.SendingIP = legIP(1)
			return out, err
		})
		msa := smtptest.NewMSA(t, w.connect())
		got := msa.Deliver("a@example.com", []string{"b@example.net"}, bodyOf(96_000), true)
		msa.Quit()
		w.close()
		other.close()
		if !got.All(smtptest.Accepted) || len(kept.transactions) != 1 {
			t.Fatalf("%v, %d transactions", got.Verdicts, len(kept.transactions))
		}
		if tx := kept.transactions[0]; tx.Leg != 2 || tx.Window != 0 {
			t.Errorf("connection %d, kept for %s", tx.Leg, tx.Window)
		}
	})
}
