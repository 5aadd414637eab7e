package session_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// An MX that refuses the dial: the MSA's connection is reset, at once and without a word, so that it goes on as it would directly.
//
// law: S0/MX-lost I13
func TestRefusedDialResetsTheMSA(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.listener.Close()
		begun := time.Now()
		heard, err := io.ReadAll(w.connect())
		if len(heard) > 0 || !errors.Is(err, syscall.ECONNRESET) || time.Since(begun) > time.Second {
			t.Errorf("the MSA got %q and %v after %s", heard, err, time.Since(begun))
		}
		w.close()
		if w.record.lastEnd() != "mx_unreachable" || w.record.ungreeted != "reset" {
			t.Errorf("recorded end %q, ungreeted %q", w.record.lastEnd(), w.record.ungreeted)
		}
		log := strings.Join(w.record.lines, "\n")
		if !strings.Contains(log, "no greeting for the MSA, its connection is reset: mx_unreachable at dial") || !strings.Contains(log, "connection refused") {
			t.Errorf("the session log does not say why:\n%s", log)
		}
	})
}

// law: S0/MX-silent I12
func TestSilentDialEndsAfterThirtySeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.net.Drop(mxAddr)
		begun := time.Now()
		heard, err := io.ReadAll(w.connect())
		if d := time.Since(begun); d < 29*time.Second || d > 31*time.Second {
			t.Errorf("dial given up after %s, want 30 s", d)
		}
		if len(heard) > 0 || err != nil {
			t.Errorf("the MSA got %q and %v, want the end of the connection", heard, err)
		}
		w.listener.Close()
		w.close()
		if w.record.ungreeted != "closed" {
			t.Errorf("recorded %q", w.record.ungreeted)
		}
	})
}

// What stands in the way of a dial decides how the MSA is left: with what it would meet directly where it is the MX's, with 421 and a
// reason where it is kanmon's own, and always with 421 for who wants that.
//
// law: S0/MX-lost S0/MX-silent I13
func TestWhoseFaultAFailedDialIs(t *testing.T) {
	connect := func(errno syscall.Errno) error {
		return &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", errno)}
	}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"refused":                     {connect(syscall.ECONNREFUSED), "reset"},
		"reset":                       {connect(syscall.ECONNRESET), "reset"},
		"host unreachable":            {connect(syscall.EHOSTUNREACH), "reset"},
		"net unreachable":             {connect(syscall.ENETUNREACH), "reset"},
		"prohibited (ICMPv6)":         {connect(syscall.EACCES), "reset"},
		"protocol unreachable":        {connect(syscall.ENOPROTOOPT), "reset"},
		"no sending IP of the family": {fmt.Errorf("pool: %w", session.ErrNoSendingIP), "reset"},
		"timed out in the kernel":     {connect(syscall.ETIMEDOUT), "closed"},
		"timed out here":              {fmt.Errorf("dial: %w", context.DeadlineExceeded), "closed"},
		"no port":                     {connect(syscall.EADDRNOTAVAIL), "421"},
		"address in use":              {connect(syscall.EADDRINUSE), "421"},
		"no descriptor":               {os.NewSyscallError("socket", syscall.EMFILE), "421"},
		"not permitted":               {os.NewSyscallError("setsockopt", syscall.EPERM), "421"},
		"no access":                   {os.NewSyscallError("bind", syscall.EACCES), "421"},
		"no other IP":                 {session.ErrNoOtherIP, "421"},
		"no words":                    {errors.New("something"), "421"},
	} {
		for _, told := range []bool{false, true} {
			for _, passthrough := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, told %t, passed through %t", name, told, passthrough), bubble(func(t *testing.T) {
					var rec records
					e := session.Engine{Live: new(session.Live), Recorder: &rec, Observe: true, Ways: dialFunc(
						func(context.Context, session.DialRequest) (session.Outbound, error) { return session.Outbound{}, c.err })}
					e.Destination = func(netip.Addr) session.Destination { return session.Destination{Passthrough: passthrough} }
					want := c.want
					if told {
						want = "421"
						e.Unreachable = func(o session.Origin) session.Unreachable {
							if o.Source != msaAddr || o.Destination != mxAddr {
								t.Errorf("asked about %v", o)
							}
							return session.UnreachableReply
						}
					}
					far, near := smtptest.Pair(msaAddr, mxAddr)
					go e.Serve(near, session.Origin{Source: msaAddr, Destination: mxAddr})
					heard, err := io.ReadAll(far)
					got := "closed"
					switch {
					case strings.HasPrefix(string(heard), "421 4.4.1 "):
						got = "421"
					case len(heard) > 0:
						got = string(heard)
					case errors.Is(err, syscall.ECONNRESET):
						got = "reset"
					}
					far.Close()
					synctest.Wait()
					if got != want || want != "421" && rec.ungreeted != want || want == "421" && rec.ungreeted != "" {
						t.Errorf("got %s, recorded %q, want %s", got, rec.ungreeted, want)
					}
				}))
			}
		}
	}
}

// Where no sending IP can be used, and the MX has no part in it, the MSA is greeted all the same and told at MAIL: a greeting of 421 would
// stop its mail for others, too. Who is passed through cannot be greeted, and is told at once.
//
// trouble-O01 trouble-O09 law: S0/MX-lost I13
func TestNoUsableSendingIPIsToldAtMAIL(t *testing.T) {
	for name, c := range map[string]struct {
		err       error
		end, text string
	}{
		"not on the host": {session.ErrNotOnHost, "ips_missing", "4.3.0 kanmon: this gateway does not have the IP addresses"},
		"no free port":    {session.ErrPortsExhausted, "ports_exhausted", "4.4.5 kanmon: too many connections to this destination"},
	} {
		for _, passthrough := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, passed through %t", name, passthrough), bubble(func(t *testing.T) {
				var rec records
				e := session.Engine{Live: new(session.Live), Recorder: &rec, Observe: true, Ways: dialFunc(
					func(context.Context, session.DialRequest) (session.Outbound, error) {
						return session.Outbound{}, fmt.Errorf("dial: %w", c.err)
					})}
				e.Destination = func(netip.Addr) session.Destination { return session.Destination{Passthrough: passthrough} }
				far, near := smtptest.Pair(msaAddr, mxAddr)
				go e.Serve(near, session.Origin{Source: msaAddr, Destination: mxAddr})
				msa := smtptest.NewMSA(t, far)
				if passthrough {
					if r := msa.Expect(421); !strings.HasPrefix(r.String(), "421 "+c.text) {
						t.Errorf("answered %s", r)
					}
					far.Close()
					if synctest.Wait(); rec.lastEnd() != c.end {
						t.Errorf("recorded %q", rec.lastEnd())
					}
					return
				}
				msa.Expect(220)
				if r := msa.Command("EHLO msa.example.com"); r.Class() != 2 {
					t.Errorf("EHLO was answered %s", r)
				}
				if r := msa.Command("MAIL FROM:<a@example.com>"); !strings.HasPrefix(r.String(), "451 "+c.text) {
					t.Errorf("MAIL was answered %s", r)
				}
				if err := msa.Quit(); err != nil {
					t.Error(err)
				}
			}))
		}
	}
}

// Where only a mail's sender can tell whether there is a sending IP of the MX's family, the MSA is greeted. What is passed through has no sender: it is reset, as
// where there is none.
//
// law: S0/MX-lost I13
func TestWhatASenderMayHaveIsWaitedFor(t *testing.T) {
	for _, passthrough := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			e := session.Engine{Live: new(session.Live), Observe: true, Ways: dialFunc(func(context.Context, session.DialRequest) (session.Outbound, error) {
				return session.Outbound{}, fmt.Errorf("dial: %w", session.ErrNotYet)
			})}
			e.Destination = func(netip.Addr) session.Destination { return session.Destination{Passthrough: passthrough} }
			far, near := smtptest.Pair(msaAddr, mxAddr)
			go e.Serve(near, session.Origin{Source: msaAddr, Destination: mxAddr})
			if passthrough {
				if heard, err := io.ReadAll(far); len(heard) > 0 || !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("passed through: heard %q, %v", heard, err)
				}
				far.Close()
				synctest.Wait()
				return
			}
			msa := smtptest.NewMSA(t, far)
			msa.Expect(220)
			msa.Command("EHLO msa.example.com")
			if r := msa.Command("MAIL FROM:<a@example.com>"); !strings.HasPrefix(r.String(), "451 4.4.1 kanmon: the sending IP for this mail cannot reach the destination now") {
				t.Errorf("MAIL was answered %s", r)
			}
			if err := msa.Quit(); err != nil {
				t.Error(err)
			}
		})
	}
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
				if r := w.record.tls[0]; r.State != event.TLSDowngraded || r.Err == "" {
					t.Errorf("recorded %s %q, want downgraded and why", r.State, r.Err)
				}
			})
		})
	}
}

// The MSA learns that, and not why, in words that hold for any cause.
func TestDialErrorIsForTheOperatorOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rec records
		e := session.Engine{Live: new(session.Live), Recorder: &rec, Observe: true, Ways: dialFunc(
			func(context.Context, session.DialRequest) (session.Outbound, error) {
				return session.Outbound{}, &net.OpError{Op: "dial", Err: errors.Join(errors.New("secret cause"), syscall.EADDRNOTAVAIL)}
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
