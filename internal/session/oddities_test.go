package session_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// EHLO keywords that nobody has heard of are logged once for each MX and counted each time; those that kanmon knows and
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
		if strings.Count(told, "unknown EHLO keyword") != 1 || strings.Count(told, `keywords="FROBNICATE Frob-2" count=2`) != 1 {
			t.Errorf("logged:\n%s", told)
		}
		if n := w.engine.Live.Counters().UnknownKeywords; n != 6 {
			t.Errorf("counted %d, want 6", n)
		}
	})
}

// An MX that lists new keywords in each session has one line in the log, and any number of such MXs have few.
//
// audit-B: an MX with new EHLO keywords in each session floods the log
func TestKeywordsDoNotFloodTheLog(t *testing.T) {
	for name, mxs := range map[string]int{"one MX": 1, "any number of them": 500} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, begun := newWorld(t), time.Now()
				var log bytes.Buffer
				w.engine.Log = slog.New(slog.NewTextHandler(&log, nil))
				for i := range 500 {
					w.mx.Keywords = nil
					for n := range 100 {
						w.mx.Keywords = append(w.mx.Keywords, fmt.Sprintf("NEW%dX%d", i, n))
					}
					far, near := smtptest.Pair(msaAddr, mxAddr)
					to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(100 + i%mxs/250), byte(1 + i%mxs%250)}), 25)
					w.done.Go(func() { w.engine.Serve(near, session.Origin{Source: msaAddr, Destination: to}) })
					msa := smtptest.NewMSA(t, far)
					msa.Expect(220)
					msa.Command("EHLO msa.example.com")
					msa.Quit()
					synctest.Wait()
				}
				w.close()
				most := 20 + int(time.Since(begun)/(5*time.Second))
				if mxs == 1 {
					most = 1
				}
				if lines := strings.Count(log.String(), "\n"); lines < 1 || lines > most {
					t.Errorf("500 sessions have made %d lines", lines)
				}
				if n := w.engine.Live.Counters().UnknownKeywords; n != 50_000 {
					t.Errorf("counted %d, want all 50000", n)
				}
			})
		})
	}
}

// newInjectedWorld is a world whose MX says more than its 220 to STARTTLS, and kanmon's own log in it.
func newInjectedWorld(t *testing.T) (*world, *bytes.Buffer) {
	w, log := newWorld(t), new(bytes.Buffer)
	w.engine.Log = slog.New(slog.NewTextHandler(log, nil))
	w.mx.Keywords = []string{}
	w.mx.TLS = &tls.Config{Certificates: []tls.Certificate{smtptest.Certificate(t, smtptest.CertificateOptions{})}}
	w.mx.Reply = func(verb string, _ int) string {
		if verb == "STARTTLS" {
			return "220 go\r\n250 injected\r\n"
		}
		return smtptest.Default
	}
	return w, log
}

// Octets ahead of TLS are an alarm in kanmon's own log.
//
// law: B15
func TestInjectionIsAnAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, log := newInjectedWorld(t)
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

// An MX that does it to every session is told of once, and then once in an hour with how often it was: the alarm must not be all there is to read.
func TestInjectionsAreCountedInTheAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, log := newInjectedWorld(t)
		for range 100 {
			msa := smtptest.NewMSA(t, w.connect())
			msa.Expect(220)
			msa.Command("EHLO msa.example.com")
			time.Sleep(time.Minute)
		}
		w.close()
		told := log.String()
		if strings.Count(told, "level=WARN") != 2 || !strings.Contains(told, "times=1 ") || !strings.Contains(told, "times=60 ") {
			t.Errorf("logged:\n%s", told)
		}
		if c := w.engine.Live.Counters(); c != (session.Counters{Injected: 100}) {
			t.Errorf("%+v", c)
		}
	})
}
