package session_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// A fuse blows at its n-th use; the zero fuse never does.
type fuse struct {
	at   int64
	uses atomic.Int64
}

func (f *fuse) use(what string) {
	if f.uses.Add(1) == f.at {
		panic("injected at " + what)
	}
}

// A fusedConn panics at the n-th Read or Write.
type fusedConn struct {
	*smtptest.Conn
	reads, writes *fuse
}

func (c fusedConn) Read(p []byte) (int, error) {
	c.reads.use("Read")
	return c.Conn.Read(p)
}

func (c fusedConn) Write(p []byte) (int, error) {
	c.writes.use("Write")
	return c.Conn.Write(p)
}

// fuses is one fuse for each thing that can panic.
type fuses struct {
	dial, record, msaRead, msaWrite, mxRead, mxWrite fuse
}

// Record implements session.Recorder.
func (f *fuses) Record(r *event.Record) {
	f.record.use("Record")
	r.Release()
}

// A panic anywhere ends its own session only: the MSA gets 4xx where it can be told, no message is lost or completed by it,
// and the next session on the same Engine is served.
//
// law: I4 I14
func TestFaultPanics(t *testing.T) {
	places := map[string]func(*fuses) *fuse{
		"Dial":           func(f *fuses) *fuse { return &f.dial },
		"Record":         func(f *fuses) *fuse { return &f.record },
		"MSA leg, Read":  func(f *fuses) *fuse { return &f.msaRead },
		"MSA leg, Write": func(f *fuses) *fuse { return &f.msaWrite },
		"MX leg, Read":   func(f *fuses) *fuse { return &f.mxRead },
		"MX leg, Write":  func(f *fuses) *fuse { return &f.mxWrite },
	}
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	server := newTLSServer(cert)
	for place, pick := range places {
		for _, encrypted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, TLS %t", place, encrypted), func(t *testing.T) {
				n := int64(1)
				for ; n < 100; n++ {
					f := new(fuses)
					injected := pick(f)
					injected.at = n
					synctest.Test(t, func(t *testing.T) {
						r := newRig()
						if encrypted {
							r.mx.TLS = server
						}
						sessionWithFuses(t, r, f, place)
						if injected.uses.Load() < n {
							injected.at = 0 // beyond the last use
						}
						if again := r.msa(t); again.Deliver("a@example.com", []string{"b@example.net"}, []byte("next\r\n"), true).All(smtptest.Accepted) {
							_ = again.Quit()
						} else {
							t.Errorf("use %d: the next session is disturbed", n)
						}
					})
					if injected.at == 0 {
						break
					}
				}
				if n == 1 {
					t.Error("nothing panicked")
				}
			})
		}
	}
}

// sessionWithFuses runs a session that may panic, then one that must not be disturbed by it.
func sessionWithFuses(t *testing.T, r *rig, f *fuses, place string) {
	r.engine.Recorder = f
	dial := r.engine.Dialer
	r.engine.Dialer = dialFunc(func(ctx context.Context, req session.DialRequest) (session.Outbound, error) {
		f.dial.use("Dial")
		out, err := dial.Dial(ctx, req)
		out.Conn = fusedConn{out.Conn.(*smtptest.Conn), &f.mxRead, &f.mxWrite}
		return out, err
	})
	conn, near := smtptest.Pair(msaAddr, mxAddr)
	ended := r.serve(fusedConn{near, &f.msaRead, &f.msaWrite})
	conn.Record()
	body := []byte("Subject: panic\r\n\r\ntext\r\n")
	msa := smtptest.NewMSA(t, conn)
	d := msa.Deliver("a@example.com", []string{"b@example.net"}, body, true)
	if d.Err == nil {
		_ = msa.Quit()
	}
	_ = conn.Close()
	<-ended
	synctest.Wait()
	copies := r.mx.Mailbox.Count(body)
	if d.All(smtptest.Accepted) && copies != 1 {
		t.Errorf("%d: accepted with %d copies", r.dials(), copies)
	}
	if d.All(smtptest.Bounced) {
		t.Error("bounced by a panic")
	}
	if !d.DotSent && copies > 0 {
		t.Error("the MX has a message whose dot was never sent")
	}
	if told := string(conn.Record()); !strings.HasPrefix(place, "MSA leg") && !d.All(smtptest.Accepted) && !strings.Contains(told, "internal error") {
		t.Errorf("the MSA was told nothing: %q", told)
	}
	if n := r.live.Count(); n != 0 {
		t.Errorf("%d sessions live", n)
	}
}

// A Recorder that panics must not end the process, where a connection is refused either.
//
// law: I14
func TestPanicWhileRefusing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		f := new(fuses)
		f.record.at = 1
		r.engine.Recorder = f
		conn, near := smtptest.Pair(msaAddr, mxAddr)
		escaped := make(chan any, 1)
		go func() {
			defer func() { escaped <- recover() }()
			r.engine.Refuse(near, session.Origin{Source: msaAddr, Destination: mxAddr}, session.RefuseLimit)
		}()
		heard := readAll(conn)
		_ = conn.Close()
		if p := <-escaped; p != nil || !strings.HasPrefix(heard, "421") {
			t.Errorf("the panic went on to the caller: %v; the MSA heard %q", p, heard)
		}
	})
}

// So must what the dialler is told at the end of a session.
//
// law: I14
func TestPanicInClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		dial := r.engine.Dialer
		r.engine.Dialer = dialFunc(func(ctx context.Context, req session.DialRequest) (session.Outbound, error) {
			out, err := dial.Dial(ctx, req)
			out.Closed = func() { panic("injected at Closed") }
			return out, err
		})
		conn, near := smtptest.Pair(msaAddr, mxAddr)
		escaped := make(chan any, 1)
		go func() {
			defer func() { escaped <- recover() }()
			r.engine.Serve(near, session.Origin{Source: msaAddr, Destination: mxAddr})
		}()
		msa := smtptest.NewMSA(t, conn)
		msa.Expect(220)
		_ = msa.Quit()
		if p := <-escaped; p != nil || r.live.Count() != 0 {
			t.Errorf("the panic went on to the caller: %v; %d sessions live", p, r.live.Count())
		}
	})
}

// Nor does one in a stream that is passed through, in either direction.
func TestPanicInPassthrough(t *testing.T) {
	for _, side := range []string{"MSA", "MX"} {
		synctest.Test(t, func(t *testing.T) {
			r := passRig()
			dial := r.engine.Dialer
			r.engine.Dialer = dialFunc(func(ctx context.Context, req session.DialRequest) (session.Outbound, error) {
				out, err := dial.Dial(ctx, req)
				if side == "MX" {
					out.Conn = panicking{out.Conn}
				}
				return out, err
			})
			conn, near := smtptest.Pair(msaAddr, mxAddr)
			var served net.Conn = near
			if side == "MSA" {
				served = panicking{near}
			}
			ended := make(chan any, 1)
			go func() {
				defer func() { ended <- recover() }()
				r.engine.Serve(served, session.Origin{Source: msaAddr, Destination: mxAddr})
			}()
			if _, err := io.ReadAll(conn); err == nil && side == "MX" {
				t.Log("the MSA saw the end of the stream")
			}
			if p := <-ended; p != nil || r.live.Count() != 0 {
				t.Errorf("%s: the panic went on: %v; %d sessions live", side, p, r.live.Count())
			}
		})
	}
}

// panicking is a connection that breaks whoever reads from it.
type panicking struct{ net.Conn }

func (panicking) Read([]byte) (int, error) { panic("injected at Read") }
