package session_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// smuggled is what an attacker puts behind a look-alike of the end of data, and the true end.
const smuggled = "mail from:<smuggled@x>\r\nRCPT TO:<v@y>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n"

// Every look-alike of the end of data, after text and at the start of a message, cut into reads at every octet, toward an
// MX that takes all of them for the end.
//
// law: I4 I7 B3
func TestFaultSmugglingAtEverySplit(t *testing.T) {
	runs := 0
	for _, form := range append(smtptest.SmugglingForms(), ".\n", ".\rx", ".\x00\r\n", "\n\x00.\r\n") {
		for _, before := range []string{"Subject: x\r\n\r\ntext", "line\r\n", ""} {
			if strings.HasPrefix(form, ".") && before == "Subject: x\r\n\r\ntext" {
				continue // a dot at the end of a line is text
			}
			message := before + form + smuggled
			for split := range len(before) + len(form) + 8 {
				runs++
				smuggle(t, message, max(1, split), split == 0, nil)
			}
		}
	}
	t.Logf("%d messages with a look-alike: smuggled 0", runs)
}

// smuggle sends a message whose octets kanmon reads in two pieces, or one by one, with a gate or none.
func smuggle(t *testing.T, message string, split int, single bool, gate session.Gate) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.mx.Lenient, r.engine.Gate = smtptest.SmugglingForms(), gate
		conn, proxy, ended := r.connect()
		msa := smtptest.NewMSA(t, conn)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "DATA")
		if proxy.Chunk(split, 1<<16); single {
			proxy.Chunk(1)
		}
		if _, err := io.WriteString(conn, message); err != nil {
			t.Fatal(err)
		}
		msa.Expect(550)
		if more := readAll(conn); more != "" {
			t.Errorf("%q cut at %d: more than one reply: %q", message, split, more)
		}
		<-ended
		synctest.Wait()
		if n := r.mx.Mailbox.Len(); n > 0 {
			t.Errorf("%q cut at %d: the MX accepted %d messages", message, split, n)
		}
		if commands := strings.Join(r.mx.Mailbox.Commands(), "\n"); strings.Contains(commands, "smuggled") {
			t.Errorf("%q cut at %d: the MX got the command", message, split)
		}
	})
}

// NUL beside a true end of data is content, or the start of the next command; the message ends there for everybody.
//
// law: I7 B3
func TestTrueEndBesideNUL(t *testing.T) {
	for _, c := range []struct {
		message, body string
		next          int // code of the reply to what follows
	}{
		{"text\x00\r\n.\r\nNOOP\r\n", "text\x00\r\n", 250},
		{"text\r\n.\r\n\x00NOOP\r\n", "text\r\n", 501},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig()
			conn, _, _ := r.connect()
			msa := smtptest.NewMSA(t, conn)
			msa.Expect(220)
			msa.Command("EHLO msa.example.com")
			msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "DATA")
			if _, err := io.WriteString(conn, c.message); err != nil {
				t.Fatal(err)
			}
			msa.Expect(250)
			msa.Expect(c.next)
			_ = msa.Quit()
			if r.mx.Mailbox.Count([]byte(c.body)) != 1 || r.mx.Mailbox.Len() != 1 {
				t.Errorf("%q: the mailbox holds %d messages", c.message, r.mx.Mailbox.Len())
			}
		})
	}
}

// Octets behind the 220 to STARTTLS, as a man in the middle adds them: whole lines or fragments, of 1 octet to 64 KiB, in
// the same segment or in the next. None may ever be taken for something that was said inside TLS.
//
// law: I8 B15 S2/malformed
func TestFaultInjectionBehindMXStartTLS(t *testing.T) {
	runs := 100
	if inFull() {
		runs = 10_000
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range runs {
		payload := strings.Repeat("250-injected.example\r\n250-SIZE 666\r\n250 DSN\r\n", 1500)[:1+random.IntN(1<<(1+i%16))]
		if i%2 == 0 {
			payload += "\r\n"
		}
		injectFromMX(t, payload, i%3 == 0)
	}
	t.Logf("%d injections: accepted 0", runs)
}

func injectFromMX(t *testing.T, payload string, nextRead bool) {
	const goAhead = "220 2.0.0 go ahead\r\n"
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.mx.Keywords = []string{"PIPELINING", "STARTTLS"}
		var mxEnd *smtptest.Conn
		r.wire = func(_ int, proxy, mx *smtptest.Conn) {
			if mxEnd = mx; nextRead {
				banner, hello := len("220 mx.example.net ESMTP\r\n"), len("250-mx.example.net\r\n250-PIPELINING\r\n250 STARTTLS\r\n")
				proxy.Chunk(banner, hello, len(goAhead), 1<<16)
			}
		}
		r.mx.Reply = func(verb string, _ int) string {
			if verb == "STARTTLS" {
				return goAhead + payload
			}
			return smtptest.Default
		}
		conn, _, ended := r.connect()
		conn.Record()
		msa := smtptest.NewMSA(t, conn)
		d := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
		_ = conn.Close()
		<-ended
		mxEnd.Reset()
		synctest.Wait()
		heard := string(conn.Record())
		if strings.Contains(heard, "injected") || strings.Contains(heard, "SIZE") || strings.Contains(heard, "DSN") {
			t.Errorf("%d octets injected (in the next read: %t): the MSA was told %q", len(payload), nextRead, heard)
		}
		// In one read the injection is seen for what it is. In the next read it breaks the handshake, which is not the
		// same to the MSA: plain text goes on a fresh connection.
		if delivered := d.All(smtptest.Accepted); delivered != nextRead || !nextRead && r.log.lastEnd() != "mx_injected" {
			t.Errorf("%d octets injected (in the next read: %t): delivered %t, recorded %q, heard %q",
				len(payload), nextRead, delivered, r.log.lastEnd(), heard)
		}
	})
}

// Commands behind the MSA's STARTTLS, before its handshake (CVE-2011-0411): nothing of them is ever obeyed.
//
// law: I8 B5 K-STARTTLS
func TestFaultInjectionBehindMSAStartTLS(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	payloads := []string{
		"EHLO commandinjectiontester\r\n", "NOOP\r\n", "MAIL FROM:<injected@x>\r\n", "RSET", "x", "\r\n", "STARTTLS\r\n",
		"MAIL FROM:<injected@x>\r\nRCPT TO:<v@y>\r\nDATA\r\n", strings.Repeat("NOOP\r\n", 20),
	}
	for _, payload := range payloads {
		for _, nextRead := range []bool{false, true} {
			for _, handshake := range []bool{false, true} {
				t.Run(fmt.Sprintf("%.20q next read %t handshake %t", payload, nextRead, handshake), func(t *testing.T) {
					injectFromMSA(t, &cert, payload, nextRead, handshake)
				})
			}
		}
	}
}

func injectFromMSA(t *testing.T, cert *tls.Certificate, payload string, nextRead, handshake bool) {
	roots := smtptest.Roots(t)
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.engine.Certificate = func() (*tls.Certificate, error) { return cert, nil }
		conn, proxy, ended := r.connect()
		msa := smtptest.NewMSA(t, conn)
		msa.Expect(220)
		if hello := msa.Command("EHLO msa.example.com"); !slices.Contains(hello.Lines, "STARTTLS") {
			t.Fatalf("STARTTLS is not offered: %s", hello)
		}
		if nextRead {
			proxy.Chunk(len("STARTTLS\r\n"), 1<<16)
		}
		if _, err := io.WriteString(conn, "STARTTLS\r\n"+payload); err != nil {
			t.Fatal(err)
		}
		if handshake && nextRead {
			msa.Expect(220)
			if err := tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: "mx.example.net"}).Handshake(); err == nil {
				t.Error("the handshake went through behind injected octets")
			}
		}
		heard := readAll(conn)
		_ = conn.Close()
		<-ended
		synctest.Wait()
		if commands := r.mx.Mailbox.Commands(); len(commands) != 2 || commands[1] != "QUIT" {
			t.Errorf("the MX heard %q", commands)
		}
		told := strings.HasPrefix(heard, "503 5.5.1 ") && strings.Count(heard, "\r\n") == 1
		if strings.Contains(heard, "250") || !nextRead && !told {
			t.Errorf("the MSA was answered %q", heard)
		}
	})
}
