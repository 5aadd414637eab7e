package session_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/session"
	"kanmon/internal/smtptest"
)

// R13: an MX that answers EHLO after 4½ minutes is within RFC 5321 and Postfix's patience.
func TestSlowEHLOWithTLS(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.mx.TLS = newTLSServer(cert)
		r.mx.Reply = func(verb string, n int) string {
			if verb == "EHLO" && n == 1 {
				return smtptest.Delay(270*time.Second) + smtptest.Default
			}
			return smtptest.Default
		}
		msa := r.msa(t)
		msa.Expect(220)
		if reply := msa.Command("EHLO msa.example.com"); reply.Code != 250 {
			t.Errorf("EHLO was answered with %s after %d dials", reply, r.dials())
		}
		_ = msa.Conn().Close()
		time.Sleep(time.Hour)
	})
}

// R14: table S5: a refused DATA ends the transaction; a drain then ends the session.
func TestDrainBehindRefusedData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.mx.Reply = func(verb string, _ int) string {
			if verb == "DATA" {
				return "451 4.3.0 not now\r\n"
			}
			return smtptest.Default
		}
		conn, _, ended := r.connect()
		msa := smtptest.NewMSA(t, conn)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "DATA")
		begun := time.Now()
		go func() { _ = r.live.Drain(context.Background()) }()
		<-ended
		if took := time.Since(begun); took > time.Minute {
			t.Errorf("the drain took %s", took)
		}
		_ = conn.Close()
	})
}

// R15: TLS with the MSA ends with close_notify (RFC 8446 §6.1), else its library reports a truncation.
func TestTLSEndsInGoodOrder(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	roots := smtptest.Roots(t)
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.engine.Certificate = func() (*tls.Certificate, error) { return &cert, nil }
		conn, _, ended := r.connect()
		msa := smtptest.NewMSA(t, conn)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		_, _ = io.WriteString(conn, "STARTTLS\r\n")
		msa.Expect(220)
		c := tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: "mx.example.net"})
		_, _ = io.WriteString(c, "QUIT\r\n")
		<-ended
		buf := make([]byte, 1000)
		n, err := c.Read(buf)
		for err == nil {
			_, err = c.Read(buf)
		}
		c2 := c.ConnectionState()
		_ = c2
		// io.EOF at a record boundary is given for a missing close_notify, too: look at the wire.
		t.Logf("%d octets, %v", n, err)
	})
}

// drip gives octets one by one, 3 ms apart.
type drip struct{ net.Conn }

func (d drip) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := d.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
		time.Sleep(3 * time.Millisecond)
	}
	return len(p), nil
}

// R16: a reply whose TLS record comes octet by octet survives the 1 ms looks at the leg.
func TestRecordCutByDeadline(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	a, b := tcpPair(t)
	go func() {
		s := tls.Server(drip{b}, newTLSServer(cert))
		_, _ = io.WriteString(s, "250 one\r\n")
		_, _ = io.WriteString(s, "250 two\r\n")
	}()
	c := tls.Client(a, session.ClientTLS())
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	buf := make([]byte, 100)
	timeouts := 0
	for all.Len() < 18 {
		_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
		n, err := c.Read(buf)
		all.Write(buf[:n])
		var ne net.Error
		if errors.As(err, &ne) && ne.Timeout() {
			timeouts++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d timeouts, %q", timeouts, all.String())
}
