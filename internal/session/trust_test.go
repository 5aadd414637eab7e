package session_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	own "kanmon/internal/smtp/replies"
	"kanmon/internal/smtp/smtptest"
)

// earnest is a Trust that looks at certificates: the MX of a domain must prove the name that stands here for it.
type earnest struct {
	names map[string]string
	roots *x509.CertPool

	mu      sync.Mutex
	needs   map[string]*earnestNeed
	proved  string
	asked   int // needs
	judged  int
	cause   event.TLSCause // of the leg that was judged last
	unknown []string
}

func newEarnest(t testing.TB, names map[string]string) *earnest {
	return &earnest{names: names, roots: smtptest.Roots(t), needs: map[string]*earnestNeed{}}
}

type earnestNeed struct {
	of           *earnest
	domain, name string
}

func (e *earnest) Need(q session.TrustQuestion) session.Need {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked++
	n := e.needs[q.Domain]
	if n == nil {
		n = &earnestNeed{e, q.Domain, e.names[q.Domain]}
		e.needs[q.Domain] = n
	}
	return n
}

func (e *earnest) ServerName(netip.AddrPort) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.proved
}

func (e *earnest) Proved(_ netip.AddrPort, name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.proved = name
}

func (e *earnest) Unknown(_ netip.AddrPort, name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.unknown = append(e.unknown, name)
	if e.proved == name {
		e.proved = ""
	}
}

func (*earnestNeed) Ready() <-chan struct{} { return nil }

func (n *earnestNeed) Judge(leg session.TrustLeg) session.Verdict {
	n.of.mu.Lock()
	n.of.judged++
	n.of.cause = leg.Cause
	n.of.mu.Unlock()
	if n.name == "" {
		return session.Verdict{Pass: true, Until: leg.Now.Add(time.Hour)}
	}
	no := session.Verdict{Say: own.NoTLS.Say(), Told: &event.Trust{
		Domain: n.domain, Policy: event.TrustSTS, Verdict: event.TrustRefused, Why: event.NoStartTLS, ServerName: leg.ServerName,
	}}
	if leg.TLS == nil {
		return no
	}
	between := x509.NewCertPool()
	for _, c := range leg.TLS.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := leg.TLS.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: n.of.roots, Intermediates: between, DNSName: n.name, CurrentTime: leg.Now})
	if err != nil {
		no.Told.Why, no.Told.Detail = event.HostMismatch, err.Error()
		no.Fresh = leg.TLS.DidResume
		if leg.ServerName != n.name {
			no.ServerName = n.name
		}
		return no
	}
	return session.Verdict{Pass: true, Name: n.name, Until: leg.Now.Add(time.Minute), Told: &event.Trust{
		Domain: n.domain, Policy: event.TrustSTS, Verdict: event.TrustPassed, Name: n.name, ServerName: leg.ServerName,
	}}
}

// bySNI is an MX's TLS that shows the certificate that it is asked for, and to who asks for none another one.
func bySNI(certs map[string]tls.Certificate, otherwise tls.Certificate) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS10,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			c, has := certs[hello.ServerName]
			if !has {
				c = otherwise
			}
			return &c, nil
		},
	}
}

func named1(t testing.TB, name string) tls.Certificate {
	return smtptest.Certificate(t, smtptest.CertificateOptions{Name: name})
}

// An MX shows the right certificate to who names it: one more connection, and in the next session none, since the name is known.
// Where another mail needs another name the session gets another connection, at most eight times.
//
// law: I22
func TestNameThatIsAskedFor(t *testing.T) {
	certs := map[string]tls.Certificate{"mx.one.test": named1(t, "mx.one.test"), "mx.two.test": named1(t, "mx.two.test")}
	evil := named1(t, "mx.evil.test")
	trust := newEarnest(t, map[string]string{"one.test": "mx.one.test", "two.test": "mx.two.test"})
	synctest.Test(t, func(t *testing.T) {
		r := newManyIPs(1)
		r.mx.TLS = bySNI(certs, evil)
		r.engine.Trust, r.engine.TLSToMX, r.engine.Judge = trust, session.ClientTLS(), nil
		for n, want := range []int{2, 3} { // dials so far
			msa := r.msa(t)
			if got := msa.Deliver("a@example.com", []string{"b@one.test"}, []byte("text\r\n"), n == 0); !got.All(smtptest.Accepted) {
				t.Fatalf("session %d: %v", n, got.Verdicts)
			}
			_ = msa.Quit()
			synctest.Wait()
			if len(r.dialed) != want {
				t.Errorf("session %d: %d connections, want %d", n, len(r.dialed), want)
			}
		}
		before, refused := len(r.dialed), 0
		msa := r.msa(t)
		for n := range 12 {
			to := []string{"b@two.test", "b@one.test"}[n%2]
			if got := msa.Deliver("a@example.com", []string{to}, []byte("text\r\n"), true); !got.All(smtptest.Accepted) {
				refused++
			}
		}
		_ = msa.Quit()
		time.Sleep(time.Hour)
		synctest.Wait()
		if made := len(r.dialed) - before; made != 1+8 || refused == 0 {
			t.Errorf("one session made %d connections, %d mails refused", made, refused)
		}
		if names, tickets := r.live.Redials(); names != 1+8 || tickets != 0 {
			t.Errorf("counted %d connections for a name, %d without a ticket", names, tickets)
		}
	})
}

// An MX that cannot bear a name gets a fresh connection without it, inside TLS; the name is forgotten, and plain text is no nearer by that.
//
// law: S2/MX-lost S2/MX-refuses
func TestNameThatAnMXCannotBear(t *testing.T) {
	cert := named1(t, "mx.one.test")
	trust := newEarnest(t, map[string]string{"one.test": "mx.one.test"})
	synctest.Test(t, func(t *testing.T) {
		r := newManyIPs(1)
		config := newTLSServer(cert)
		config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if hello.ServerName != "" {
				return nil, errNoSuchName
			}
			return nil, nil
		}
		r.mx.TLS = config
		r.engine.Trust, r.engine.TLSToMX, r.engine.Judge = trust, session.ClientTLS(), nil
		for n := range 4 { // three failures would mean plain text
			trust.proved = "mx.one.test"
			msa := r.msa(t)
			if got := msa.Deliver("a@example.com", []string{"b@one.test"}, []byte("text\r\n"), true); !got.All(smtptest.Accepted) {
				t.Errorf("mail %d: %v", n, got.Verdicts)
			}
			_ = msa.Quit()
			time.Sleep(2 * time.Minute)
			synctest.Wait()
		}
		for _, tx := range r.mx.Mailbox.Transactions() {
			if !tx.TLS {
				t.Error("a mail went in plain text")
			}
		}
		if known, _ := r.live.TLSOf(mxAddr.Addr()); known.Strikes != 0 || known.Broke {
			t.Errorf("remembered of the MX: %+v", known)
		}
		if len(trust.unknown) != 4 || len(r.dialed) != 8 {
			t.Errorf("unknown names %q, %d connections", trust.unknown, len(r.dialed))
		}
	})
}

var errNoSuchName = x509.UnknownAuthorityError{}

// The certificate has changed since the ticket was given: the resumed connection still shows the old one. It is not taken for proved, nor the
// MX for false: one more connection, with a full handshake, decides.
//
// law: I22
func TestTicketIsNoProof(t *testing.T) {
	old, now := named1(t, "mx.evil.test"), named1(t, "mx.one.test")
	trust := newEarnest(t, map[string]string{"one.test": "mx.one.test"})
	synctest.Test(t, func(t *testing.T) {
		r := newManyIPs(1)
		shown := old
		config := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &shown, nil }}
		config.SetSessionTicketKeys([][32]byte{{1}})
		r.mx.TLS = config
		r.engine.Trust, r.engine.TLSToMX, r.engine.Judge = trust, session.ClientTLS(), nil
		deliver := func(to string) bool {
			msa := r.msa(t)
			got := msa.Deliver("a@example.com", []string{to}, []byte("text\r\n"), true)
			_ = msa.Quit()
			time.Sleep(time.Minute)
			synctest.Wait()
			return got.All(smtptest.Accepted)
		}
		if !deliver("b@free.test") || len(r.dialed) != 1 {
			t.Fatal("no ticket")
		}
		shown = now
		if !deliver("b@one.test") || len(r.dialed) != 3 {
			t.Errorf("%d connections", len(r.dialed))
		}
		if names, tickets := r.live.Redials(); names+tickets != 1 {
			t.Errorf("counted %d connections for a name, %d without a ticket", names, tickets)
		}
	})
}

// A domain that asks for TLS is no reason to try it again for others where it has failed and failed, but for its own mail it is tried.
//
// law: I22
func TestMemoryIsNotForADomainThatAsks(t *testing.T) {
	cert := named1(t, "mx.one.test")
	trust := newEarnest(t, map[string]string{"one.test": "mx.one.test"})
	synctest.Test(t, func(t *testing.T) {
		r := newManyIPs(1)
		broken := true
		config := newTLSServer(cert)
		config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			if broken {
				return nil, errNoSuchName
			}
			return nil, nil
		}
		r.mx.TLS = config
		r.engine.Trust, r.engine.TLSToMX, r.engine.Judge = trust, session.ClientTLS(), nil
		deliver := func(to string) (bool, int) {
			before := len(r.dialed)
			msa := r.msa(t)
			got := msa.Deliver("a@example.com", []string{to}, []byte("text\r\n"), true)
			_ = msa.Quit()
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			return got.All(smtptest.Accepted), len(r.dialed) - before
		}
		for range 4 {
			deliver("b@free.test")
		}
		if ok, made := deliver("b@free.test"); !ok || made != 1 {
			t.Fatalf("not given up: %d connections", made)
		}
		if ok, made := deliver("b@one.test"); ok || made < 2 {
			t.Errorf("delivered %t, %d connections", ok, made)
		}
		if trust.cause != event.TLSAlert {
			t.Errorf("whoever judges hears that TLS has failed for %q", trust.cause)
		}
		broken = false
		if ok, made := deliver("b@one.test"); !ok || made != 2 {
			t.Errorf("mended: delivered %t, %d connections", ok, made)
		}
	})
}

// Where kanmon only observes, and no sending IP is there to choose, a domain's policy holds all the same.
//
// law: I22
func TestTrustWithoutSendingIPs(t *testing.T) {
	certs := map[string]tls.Certificate{"mx.one.test": named1(t, "mx.one.test")}
	evil := named1(t, "mx.evil.test")
	trust := newEarnest(t, map[string]string{"one.test": "mx.one.test", "two.test": "mx.two.test"})
	for _, pipelined := range []bool{true, false} {
		trust.proved = ""
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.mx.TLS = bySNI(certs, evil)
			w.engine.Trust = trust
			msa := smtptest.NewMSA(t, w.connect())
			if got := msa.Deliver("a@example.com", []string{"b@two.test"}, []byte("text\r\n"), pipelined); got.All(smtptest.Accepted) {
				t.Error("delivered to an MX that has proved nothing")
			}
			if got := msa.Deliver("a@example.com", []string{"b@one.test", "c@free.test"}, []byte("text\r\n"), pipelined); !got.All(smtptest.Accepted) {
				t.Errorf("%v", got.Verdicts)
			}
			_ = msa.Quit()
			time.Sleep(time.Hour)
			w.close()
			if n := w.mx.Mailbox.Len(); n != 1 {
				t.Errorf("%d messages", n)
			}
		})
	}
}

// A session that is passed through asks nobody.
func TestTrustIsNotForWhatIsPassedThrough(t *testing.T) {
	trust := newEarnest(t, map[string]string{"one.test": "mx.one.test"})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.engine.Trust = trust
		w.engine.Destination = func(netip.Addr) session.Destination { return session.Destination{Passthrough: true} }
		msa := smtptest.NewMSA(t, w.connect())
		got := msa.Deliver("a@example.com", []string{"b@one.test"}, []byte("text\r\n"), true)
		_ = msa.Quit()
		w.close()
		if !got.All(smtptest.Accepted) || trust.asked > 0 {
			t.Errorf("%v, asked %d times", got.Verdicts, trust.asked)
		}
	})
}

// silentDNS is a Trust whose needs are never known.
type silentDNS struct{ *earnest }

func (silentDNS) Need(session.TrustQuestion) session.Need { return unansweredNeed{make(chan struct{})} }

type unansweredNeed struct{ ready chan struct{} }

func (n unansweredNeed) Ready() <-chan struct{} { return n.ready }
func (unansweredNeed) Judge(session.TrustLeg) session.Verdict {
	return session.Verdict{Say: own.NoTLS.Say()}
}

// A drain ends the wait for what a domain asks, and the session, within a second; nothing of its group is said to the MX.
//
// law: I22
func TestDrainWhileANeedIsAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newManyIPs(1)
		r.engine.Trust, r.engine.Judge = silentDNS{newEarnest(t, nil)}, nil
		conn, _, ended := r.connect()
		msa := smtptest.NewMSA(t, conn)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Send("MAIL FROM:<a@example.com>", "RCPT TO:<b@one.test>", "RCPT TO:<c@two.test>", "DATA")
		time.Sleep(2 * time.Second)
		begun := time.Now()
		go func() { _ = r.live.Drain(context.Background()) }()
		msa.Expect(421)
		_ = conn.Close()
		if <-ended; time.Since(begun) > time.Second {
			t.Errorf("it went on for %s", time.Since(begun))
		}
		for _, line := range r.mx.Mailbox.Commands() {
			if line != "EHLO out0.example.jp" && line != "QUIT" {
				t.Errorf("the MX has heard %q", line)
			}
		}
		time.Sleep(time.Hour)
	})
}

// Where domains ask nothing a Trust changes no dialogue: what the MSA is told, and what the MX hears, is as without one, also of a MAIL inside of a mail.
//
// tls-S54
func TestDialoguesWhereDomainsAskNothing(t *testing.T) {
	trust := newEarnest(t, nil)
	runDialogues(t, "testdata/dialogues", func(_ played, e *testEngine) { e.Trust = trust })
	said := func(asks bool) (all []string) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			if asks {
				w.engine.Trust = trust
			}
			msa := smtptest.NewMSA(t, w.connect())
			msa.Expect(220)
			for _, line := range []string{
				"EHLO msa.example.com", "MAIL FROM:<a@example.com>", "RCPT TO:<b@one.test>", "MAIL FROM:<x@example.com>", "RCPT TO:<c@two.test>", "RSET", "MAIL FROM:<a@example.com>", "QUIT",
			} {
				all = append(all, msa.Command(line).String())
			}
			w.close()
			all = append(all, w.mx.Mailbox.Commands()...)
		})
		return all
	}
	if with, without := said(true), said(false); !slices.Equal(with, without) {
		t.Errorf("with policies\n%q\nwithout\n%q", with, without)
	}
}
