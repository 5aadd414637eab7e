package session_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/session"
	"kanmon/internal/smtptest"
)

// A world is a kanmon between an MSA's connection and MXs on a network. Use it inside a synctest bubble.
type world struct {
	engine session.Engine
	net    smtptest.Network
	record records
	dials  int
	mx     smtptest.MX

	listener *smtptest.Listener
	done     sync.WaitGroup
}

// newWorld has one MX at mxAddr.
func newWorld(t *testing.T) *world {
	w := &world{}
	w.engine = session.Engine{Dialer: dialFunc(w.dial), Live: new(session.Live), Recorder: &w.record, TLSToMX: session.ClientTLS()}
	l, err := w.net.Listen(mxAddr)
	if err != nil {
		t.Fatal(err)
	}
	w.listener = l
	w.done.Go(func() { w.mx.Serve(l) })
	return w
}

func (w *world) dial(ctx context.Context, r session.DialRequest) (session.Outbound, error) {
	w.dials++
	c, err := w.net.Dial(ctx, netip.AddrPortFrom(ownIP, 0), r.Destination)
	if err != nil {
		return session.Outbound{}, err
	}
	return session.Outbound{Conn: c, SendingIP: ownIP, Name: "out10.example.jp"}, nil
}

// connect begins a session and gives the MSA's end of it.
func (w *world) connect() *smtptest.Conn {
	msa, near := smtptest.Pair(msaAddr, mxAddr)
	w.done.Go(func() { w.engine.Serve(near, session.Origin{Source: msaAddr, Destination: mxAddr}) })
	return msa
}

// close waits until everything has ended.
func (w *world) close() {
	w.listener.Close()
	w.done.Wait()
}

// records keeps what sessions hand over, as text.
type records struct {
	mu       sync.Mutex
	lines    []string
	outcomes []string
	tls      []session.TLSRecord
	ends     []string
}

func (r *records) Record(rec *session.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range rec.Lines {
		r.lines = append(r.lines, strings.TrimSpace(l.Mark.String()+" "+string(rec.Text(l.Text))))
	}
	if rec.Transaction != nil {
		r.outcomes = append(r.outcomes, rec.Transaction.Outcome.String())
	}
	if rec.End != nil {
		r.ends = append(r.ends, rec.End.Reason)
		r.tls = append(r.tls, rec.Session.MX)
	}
	rec.Release()
}

func (r *records) lastEnd() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ends) == 0 {
		return ""
	}
	return r.ends[len(r.ends)-1]
}

// law: S0/MX-lost
func TestUnreachableMXIsAnsweredAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.listener.Close()
		msa := smtptest.NewMSA(t, w.connect())
		begun := time.Now()
		msa.Expect(421)
		if d := time.Since(begun); d > time.Second {
			t.Errorf("the MSA waited %s for the 421 that sends it to the next MX", d)
		}
		w.close()
		if w.record.lastEnd() != "mx_unreachable" {
			t.Errorf("recorded end %q", w.record.lastEnd())
		}
	})
}

// law: S0/MX-silent I12
func TestSilentDialEndsAfterThirtySeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.net.Drop(mxAddr)
		msa := smtptest.NewMSA(t, w.connect())
		begun := time.Now()
		msa.Expect(421)
		if d := time.Since(begun); d < 29*time.Second || d > 31*time.Second {
			t.Errorf("dial given up after %s, want 30 s", d)
		}
		w.close()
	})
}

// law: S0/MSA-lost
func TestLostMSACancelsTheDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.net.Drop(mxAddr)
		msa := w.connect()
		time.Sleep(3 * time.Second)
		msa.Close()
		begun := time.Now()
		w.close()
		if d := time.Since(begun); d > time.Second {
			t.Errorf("the dial went on for %s", d)
		}
		if w.record.lastEnd() != "msa_lost" {
			t.Errorf("recorded end %q", w.record.lastEnd())
		}
	})
}

// TLS that fails is followed by plain text on a fresh connection, and the record says so. Where it may be the hello that
// broke it, one with classical groups only is tried before, on a connection of its own.
//
// law: S2/MX-refuses B15 B19
func TestFailedHandshakeMeansAFreshPlainConnection(t *testing.T) {
	broken := map[string]string{
		"454":     "454 4.7.0 not available\r\n",
		"501":     "501 what\r\n",
		"354":     "354 do something else\r\n",
		"221":     "221 bye\r\n",
		"421":     "421 bye\r\n" + smtptest.CloseConn,
		"garbage": "220 go\r\n" + smtptest.Delay(time.Second) + "this is no TLS record, not at all\r\n" + smtptest.CloseConn,
		"closed":  "220 go\r\n" + smtptest.Delay(time.Second) + smtptest.CloseConn,
		"stalled": "220 go\r\n" + smtptest.Delay(3*time.Minute) + smtptest.CloseConn,
	}
	for name, reply := range broken {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.mx.Keywords = []string{"PIPELINING", "STARTTLS"}
				w.mx.Reply = func(verb string, _ int) string {
					if verb == "STARTTLS" {
						return reply
					}
					return smtptest.Default
				}
				msa := smtptest.NewMSA(t, w.connect())
				got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
				if name == "421" {
					if got.All(smtptest.Accepted) {
						t.Error("delivered after the MX said 421")
					}
					msa.Quit()
					w.close()
					return
				}
				dials := 2
				if name == "closed" || name == "stalled" || name == "garbage" { // whose reset takes the octets with it
					dials = 3
				}
				if !got.All(smtptest.Accepted) || w.dials != dials || w.mx.Mailbox.Len() != 1 {
					t.Fatalf("%v: %d dials, %d in the mailbox", got.Verdicts, w.dials, w.mx.Mailbox.Len())
				}
				msa.Quit()
				w.close()
				if r := w.record.tls[0]; r.State != session.TLSDowngraded || r.Err == "" {
					t.Errorf("recorded %s %q, want downgraded and why", r.State, r.Err)
				}
			})
		})
	}
}

// Certificates of every kind are good enough for opportunistic TLS (RFC 7435).
//
// law: B19
func TestAnyCertificateWillDo(t *testing.T) {
	for name, o := range map[string]smtptest.CertificateOptions{
		"self-signed": {SelfSigned: true}, "expired": {Expired: true}, "wrong name": {Name: "other.example"}, "rsa": {RSA: true},
	} {
		for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(name+" "+tls.VersionName(version), func(t *testing.T) {
				cert := smtptest.Certificate(t, o)
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					w.mx.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, MaxVersion: version}
					msa := smtptest.NewMSA(t, w.connect())
					got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
					msa.Quit()
					w.close()
					if !got.All(smtptest.Accepted) || w.dials != 1 || w.record.tls[0].Version != version {
						t.Fatalf("%v, %d dials, %s", got.Verdicts, w.dials, tls.VersionName(w.record.tls[0].Version))
					}
				})
			})
		}
	}
}

// An MX that asks for a client certificate gets none, and mail all the same.
//
// law: B19
func TestClientCertificateRequest(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.mx.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequestClientCert}
		msa := smtptest.NewMSA(t, w.connect())
		got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
		msa.Quit()
		w.close()
		if !got.All(smtptest.Accepted) || w.record.tls[0].State != session.TLSOn {
			t.Fatal(got.Verdicts, w.record.tls[0])
		}
	})
}

// Once the body flows nothing is tried again, whatever happens.
//
// law: I3 S6/replay S6'/replay S7/replay S8/replay
func TestNothingIsReplayed(t *testing.T) {
	for name, reply := range map[string]string{
		"lost in the body":    "354 go\r\n" + smtptest.Delay(time.Second) + smtptest.ResetConn,
		"refused in the body": "354 go\r\n" + smtptest.Delay(time.Second) + "554 no\r\n" + smtptest.CloseConn,
		"lost at the dot":     "", "reset at the dot": "", "refused at the dot": "",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.mx.Reply = func(verb string, _ int) string {
					switch {
					case verb == "DATA" && reply != "":
						return reply
					case verb == "." && name == "lost at the dot":
						return smtptest.CloseConn
					case verb == "." && name == "reset at the dot":
						return smtptest.Accept + smtptest.ResetConn
					case verb == "." && name == "refused at the dot":
						return "451 4.3.0 no\r\n"
					}
					return smtptest.Default
				}
				msa := smtptest.NewMSA(t, w.connect())
				got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte(strings.Repeat("text\r\n", 10_000)), true)
				msa.Quit()
				w.close()
				if got.All(smtptest.Accepted) || w.dials != 1 {
					t.Errorf("%v after %d dials", got.Verdicts, w.dials)
				}
			})
		})
	}
}

// The MSA learns that, and not why, in words that hold for any cause.
func TestDialErrorIsForTheOperatorOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rec records
		e := session.Engine{Live: new(session.Live), Recorder: &rec, Dialer: dialFunc(
			func(context.Context, session.DialRequest) (session.Outbound, error) {
				return session.Outbound{}, &net.OpError{Op: "dial", Err: errors.Join(errors.New("secret cause"), syscall.EHOSTUNREACH)}
			})}
		far, near := smtptest.Pair(msaAddr, mxAddr)
		go e.Serve(near, session.Origin{Source: msaAddr, Destination: mxAddr})
		reply := smtptest.NewMSA(t, far).Expect(421)
		if strings.Contains(reply.String(), "secret") {
			t.Errorf("the MSA was told %s", reply)
		}
		far.Close()
		synctest.Wait()
	})
}
