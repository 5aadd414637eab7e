package session_test

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"kanmon/internal/session"
	"kanmon/internal/smtptest"
)

// An EHLO keyword that nobody has heard of is logged once for each MX and counted each time; those that kanmon knows and
// strips are not.
//
// law: K-unknown
func TestUnknownKeywordIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var log bytes.Buffer
		w.engine.Log = slog.New(slog.NewTextHandler(&log, nil))
		w.mx.Keywords = []string{"SIZE 1", "chunking", "XFOO", "UTF8SMTPA", "FROBNICATE now", "(no keyword)", "-X", "Frob-2"}
		for range 3 {
			msa := smtptest.NewMSA(t, w.connect())
			msa.Expect(220)
			msa.Command("EHLO msa.example.com")
			msa.Quit()
			synctest.Wait()
		}
		w.close()
		told := log.String()
		if strings.Count(told, "unknown EHLO keyword") != 2 || strings.Count(told, "keyword=FROBNICATE") != 1 || strings.Count(told, "keyword=Frob-2") != 1 {
			t.Errorf("logged:\n%s", told)
		}
		if n := w.engine.Live.Counters().UnknownKeywords; n != 6 {
			t.Errorf("counted %d, want 6", n)
		}
	})
}

// Octets ahead of TLS are an alarm in kanmon's own log.
//
// law: B15
func TestInjectionIsAnAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var log bytes.Buffer
		w.engine.Log = slog.New(slog.NewTextHandler(&log, nil))
		w.mx.Keywords = []string{}
		w.mx.TLS = &tls.Config{Certificates: []tls.Certificate{smtptest.Certificate(t, smtptest.CertificateOptions{})}}
		w.mx.Reply = func(verb string, _ int) string {
			if verb == "STARTTLS" {
				return "220 go\r\n250 injected\r\n"
			}
			return smtptest.Default
		}
		msa := smtptest.NewMSA(t, w.connect())
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		w.close()
		if told := log.String(); strings.Count(told, "level=WARN") != 1 || !strings.Contains(told, "octets ahead of TLS") || !strings.Contains(told, mxAddr.String()) {
			t.Errorf("logged:\n%s", told)
		}
		if c := w.engine.Live.Counters(); c != (session.Counters{Injected: 1}) {
			t.Errorf("%+v", c)
		}
	})
}

// A client of another protocol is counted.
//
// law: B7
func TestForeignProtocolIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for _, first := range []string{"GET / HTTP/1.1\r\n", "\x16\x03\x01"} {
			conn := w.connect()
			msa := smtptest.NewMSA(t, conn)
			msa.Expect(220)
			_, _ = conn.Write([]byte(first))
			msa.Expect(554)
		}
		w.close()
		if c := w.engine.Live.Counters(); c != (session.Counters{Foreign: 2}) {
			t.Errorf("%+v", c)
		}
	})
}
