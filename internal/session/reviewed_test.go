package session_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/session"
	"kanmon/internal/smtptest"
)

// R1: the MSA speaks TLS, sends its message in one record, QUIT in the next, and closes its sending side.
func TestTLSHalfCloseBehindQuit(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	roots := smtptest.Roots(t)
	run := func(t *testing.T, chunked bool) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig()
			r.engine.Certificate = func() (*tls.Certificate, error) { return &cert, nil }
			r.mx.Reply = lateReply("DATA", 500*time.Millisecond)
			conn, proxy, ended := r.connect()
			msa := smtptest.NewMSA(t, conn)
			msa.Expect(220)
			msa.Command("EHLO msa.example.com")
			msa.StartTLS(&tls.Config{RootCAs: roots, ServerName: "mx.example.net"})
			msa.Command("EHLO msa.example.com")
			msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>")
			msa.Send("DATA")
			synctest.Wait()
			if chunked {
				proxy.Chunk(len("text\r\n.\r\n")+22, 1<<16)
			}
			msa.Send("text", ".")
			msa.Send("QUIT")
			_ = conn.CloseWrite()
			<-ended
			synctest.Wait()
			for i, m := range r.mx.Mailbox.Transactions() {
				if string(m.Body) != "text\r\n" {
					t.Errorf("message %d arrived as %q", i, m.Body)
				}
			}
			if n := r.mx.Mailbox.Len(); n != 1 {
				t.Errorf("%d messages arrived", n)
			}
		})
	}
	t.Run("QUIT in the socket", func(t *testing.T) { run(t, true) })
	t.Run("QUIT inside crypto/tls", func(t *testing.T) { run(t, false) })
}

func passRig() *rig {
	r := newRig()
	r.engine.Destination = func(netip.Addr) session.Destination { return session.Destination{Passthrough: true} }
	return r
}

// R2: a reset of one side ends a passed-through session at once, on both sides.
func TestPassthroughReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := passRig()
		far := make(chan *smtptest.Conn, 1)
		r.engine.Dialer = dialOnceTo(func(_, mx *smtptest.Conn) { far <- mx })
		conn, _, ended := r.connect()
		mx := <-far
		_, _ = io.WriteString(conn, "EHLO x\r\n")
		synctest.Wait()
		begun := time.Now()
		conn.Reset()
		<-ended
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("the session went on for %s behind the MSA's RST", took)
		}
		_ = mx.Close()
	})
}

// R3: a message that takes longer than the MX's longest silence must pass: the MX has nothing to say meanwhile.
func TestPassthroughLongUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := passRig()
		far := make(chan *smtptest.Conn, 1)
		r.engine.Dialer = dialOnceTo(func(_, mx *smtptest.Conn) { far <- mx })
		conn, _, ended := r.connect()
		mx := <-far
		go func() { _, _ = io.Copy(io.Discard, mx) }()
		for i := range 20 {
			if _, err := io.WriteString(conn, strings.Repeat("x", 1000)); err != nil {
				t.Fatalf("cut after %d minutes: %v", i, err)
			}
			time.Sleep(time.Minute)
		}
		_, _ = io.WriteString(mx, "250 got it\r\n")
		buf := make([]byte, 100)
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		if n, err := conn.Read(buf); err != nil || string(buf[:n]) != "250 got it\r\n" {
			t.Errorf("the MX took the mail, the MSA heard %q, %v", buf[:n], err)
		}
		_ = conn.Close()
		_ = mx.Close()
		<-ended
	})
}

// texts keeps what the records of transactions say of the dot, and how large records become.
type texts struct {
	mu    sync.Mutex
	dots  []string
	data  []string
	rcpts []string
	lines []string
	most  int
	keep  bool
}

func (x *texts) Record(r *session.Record) {
	x.mu.Lock()
	defer x.mu.Unlock()
	defer func() {
		if p := recover(); p != nil {
			x.dots = append(x.dots, fmt.Sprint("panic: ", p))
		}
	}()
	n := 0
	for _, l := range r.Lines {
		n += len(r.Text(l.Text))
		if x.keep {
			x.lines = append(x.lines, string(r.Text(l.Text)))
		}
	}
	x.most = max(x.most, n)
	if tx := r.Transaction; tx != nil {
		for _, p := range tx.Recipients {
			x.rcpts = append(x.rcpts, fmt.Sprintf("%s %s", r.Text(p.Address), r.Text(p.Reply.Text)))
		}
		x.data = append(x.data, string(r.Text(tx.Data.Text)))
		x.dots = append(x.dots, string(r.Text(tx.Dot.Text)))
	}
}

// R4: the MX refuses in the middle of the body and the MSA takes its time: the record still shows the reply.
func TestEarlyRefusalKeepsItsText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		var x texts
		r.engine.Recorder = &x
		far := make(chan *smtptest.Conn, 1)
		r.wire = func(_ int, _, mx *smtptest.Conn) { far <- mx }
		msa := r.msa(t)
		mx := <-far
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "DATA")
		msa.Send("text")
		synctest.Wait()
		_, _ = io.WriteString(mx, "552 5.3.4 too big for the MX\r\n")
		synctest.Wait()
		msa.Send("text")
		time.Sleep(10 * time.Second)
		msa.Send("text", ".")
		msa.Expect(552)
		_ = msa.Conn().Close()
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(x.dots) != 1 || x.dots[0] != "552 5.3.4 too big for the MX" {
			t.Errorf("the record's reply to the dot: %q", x.dots)
		}
	})
}

// R5: what is gathered for the record stays small, whatever the MSA sends.
func TestRecordStaysSmall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		var x texts
		r.engine.Recorder = &x
		r.engine.Limits.Recipients = 1
		msa := r.msa(t)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Command("MAIL FROM:<a@example.com>")
		msa.Command("RCPT TO:<a@example.com>")
		line := "RCPT TO:<" + strings.Repeat("a", 3900) + "@example.com>"
		for range 5000 {
			msa.Command(line)
		}
		_ = msa.Quit()
		time.Sleep(time.Minute)
		synctest.Wait()
		if x.most > 1<<20 {
			t.Errorf("one record held %d octets", x.most)
		}
	})
}

// R6: sessions that kanmon ends are not recorded as ended by QUIT.
func TestEndReason(t *testing.T) {
	for name, send := range map[string]string{"BDAT": "BDAT 10\r\n", "421 at the dot": "MAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig()
				r.mx.Reply = func(verb string, _ int) string {
					if verb == "." {
						return "421 4.3.2 going down\r\n" + smtptest.CloseConn
					}
					return smtptest.Default
				}
				conn, _, ended := r.connect()
				_, _ = io.WriteString(conn, "EHLO x\r\n"+send)
				time.Sleep(time.Second)
				if name != "BDAT" {
					_, _ = io.WriteString(conn, "text\r\n.\r\n")
				}
				readAll(conn)
				_ = conn.Close()
				<-ended
				if got := r.log.lastEnd(); got == session.EndQuit {
					t.Errorf("the end's reason is %q, and nobody sent QUIT", got)
				}
			})
		})
	}
}

// R7: replies are recorded with the commands they answer.
func TestRecipientsKeepTheirReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		var x texts
		r.engine.Recorder = &x
		msa := r.msa(t)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		replies := msa.Pipeline("RCPT TO:<lost@example.net>", "MAIL FROM:<a@example.com>", "RCPT TO:<good@example.net>")
		_ = msa.Quit()
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(x.rcpts) != 1 || !strings.Contains(x.rcpts[0], "good@example.net 250") {
			t.Errorf("replies %v, recorded %q", replies, x.rcpts)
		}
	})
}

// R8: no credential is recorded.
func TestAuthBehindTab(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		x := texts{keep: true}
		r.engine.Recorder = &x
		msa := r.msa(t)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Command("AUTH\tPLAIN\tc2VjcmV0")
		_ = msa.Quit()
		time.Sleep(time.Minute)
		synctest.Wait()
		if all := strings.Join(x.lines, "\n"); strings.Contains(all, "c2VjcmV0") {
			t.Errorf("the record holds the credential: %q", all)
		}
	})
}

// R9: a drain whose time is over cuts a session that writes to an MSA which does not read.
func TestCutWithStuckMSA(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		conn, _, ended := r.connect()
		msa := smtptest.NewMSA(t, conn)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		_ = conn.SetReadBuffer(0)
		msa.Send("NOOP")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		begun := time.Now()
		_ = r.live.Drain(ctx)
		<-ended
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("the cut took %s", took)
		}
		_ = conn.Close()
	})
}

// R10: while draining, too, a 421 is not destroyed by a command that crosses it.
func TestDrainLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		conn, _, ended := r.connect()
		msa := smtptest.NewMSA(t, conn)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		go func() { _ = r.live.Drain(ctx) }()
		time.Sleep(350 * time.Millisecond) // the MAIL is sent before the 421 has arrived: a long line
		_, err := io.WriteString(conn, "MAIL FROM:<a@example.com>\r\n")
		time.Sleep(time.Second)
		heard := readAll(conn)
		if !strings.HasPrefix(heard, "421") {
			t.Errorf("write: %v; heard %q", err, heard)
		}
		_ = conn.Close()
		<-ended
	})
}

// R11: 2.2 S2 × malformed: abort the MX, 421.
func TestGarbledStartTLSReply(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.mx.TLS = newTLSServer(cert)
		r.mx.Reply = func(verb string, _ int) string {
			if verb == "STARTTLS" {
				return "garbage\r\n"
			}
			return smtptest.Default
		}
		conn, _, ended := r.connect()
		_, _ = io.WriteString(conn, "EHLO x\r\nQUIT\r\n")
		heard := readAll(conn)
		_ = conn.Close()
		<-ended
		if !strings.Contains(heard, "\r\n421") {
			t.Errorf("heard %q, %d dials", heard, r.dials())
		}
	})
}

// R12: I1: a 250 that the MX says before it can have the dot is no acknowledgement.
func TestEarly250WhileTheDotIsBeingWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		far := make(chan *smtptest.Conn, 1)
		r.engine.Dialer = dialOnceTo(func(_, mx *smtptest.Conn) { far <- mx })
		conn, _, ended := r.connect()
		mx := <-far
		buf := make([]byte, 1<<17)
		say := func(s string) { _, _ = io.WriteString(mx, s); synctest.Wait() }
		hear := func() { _, _ = mx.Read(buf) }
		say("220 mx\r\n")
		_, _ = io.WriteString(conn, "EHLO x\r\n")
		hear()
		say("250-mx\r\n250 PIPELINING\r\n")
		_, _ = io.WriteString(conn, "MAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n")
		hear()
		_ = mx.SetReadBuffer(1000)
		go func() {
			time.Sleep(100 * time.Millisecond)
			_, _ = io.WriteString(conn, strings.Repeat("0123456789abcd\r\n", 2000)+".\r\n")
		}()
		say("250 ok\r\n250 ok\r\n354 go\r\n")
		time.Sleep(time.Second) // kanmon hangs in the write that ends with the dot, or before it
		say("250 got it\r\n")
		_ = mx.SetReadBuffer(1 << 20)
		for n := 0; n < 32000; {
			m, err := mx.Read(buf)
			if n += m; err != nil {
				break
			}
		}
		synctest.Wait()
		_ = mx.Close()
		_ = conn.CloseWrite()
		heard := readAll(conn)
		if strings.Contains(heard, "250 got it") {
			t.Errorf("a 250 from before the dot went through as its reply: %q", heard)
		}
		_ = conn.Close()
		<-ended
	})
}
