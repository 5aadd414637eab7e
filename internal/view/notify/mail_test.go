package notify

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kanmon/internal/config"
)

// A smarthost takes mail, or says what it is told to say to RCPT.
type smarthost struct {
	listener net.Listener
	tls      *tls.Config // it offers STARTTLS
	refuses  string      // what RCPT is answered with

	mu    sync.Mutex
	lines []string // that it was sent, commands and message
}

func newSmarthost(t *testing.T, h *smarthost) *smarthost {
	t.Helper()
	var err error
	if h.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.listener.Close() })
	go func() {
		for {
			conn, err := h.listener.Accept()
			if err != nil {
				return
			}
			go h.serve(conn)
		}
	}()
	return h
}

func (h *smarthost) serve(conn net.Conn) {
	defer func() { conn.Close() }()
	in := bufio.NewScanner(conn)
	say := func(text string) { _, _ = conn.Write([]byte(text + "\r\n")) }
	say("220 smarthost.example ESMTP")
	inMessage := false
	for in.Scan() {
		line := in.Text()
		h.mu.Lock()
		h.lines = append(h.lines, line)
		h.mu.Unlock()
		verb, _, _ := strings.Cut(line, " ")
		switch {
		case inMessage:
			if inMessage = line != "."; !inMessage {
				say("250 2.0.0 queued as 1")
			}
		case verb == "EHLO" && h.tls != nil:
			say("250-smarthost.example\r\n250 STARTTLS")
		case verb == "EHLO":
			say("250-smarthost.example\r\n250 AUTH PLAIN")
		case verb == "STARTTLS":
			say("220 go ahead")
			conn = tls.Server(conn, h.tls)
			in = bufio.NewScanner(conn)
		case verb == "AUTH":
			say("235 2.7.0 ok")
		case verb == "RCPT" && h.refuses != "":
			say(h.refuses)
		case verb == "DATA":
			inMessage = true
			say("354 go ahead")
		case verb == "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func (h *smarthost) channel(t *testing.T, m config.NotifyMail, n config.Notify) *channel {
	t.Helper()
	m.Name, m.Smarthost = "oncall", h.listener.Addr().String()
	if m.From == "" {
		m.From, m.To = "kanmon@gw.example.jp", config.Names{"oncall@gw.example.jp"}
	}
	if n.Language == "" {
		n.Language = config.English
	}
	n.Zone = "Asia/Tokyo"
	channels, err := channelsOf(&config.Config{Notify: n, NotifyMails: []config.NotifyMail{m}})
	if err != nil {
		t.Fatal(err)
	}
	return channels[0]
}

func (h *smarthost) message(t *testing.T) *mail.Message {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	_, text, _ := strings.Cut(strings.Join(h.lines, "\r\n"), "DATA\r\n")
	text, _, _ = strings.Cut(text, "\r\n.\r\n")
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	return m
}

func TestSmarthostTakesAMessage(t *testing.T) {
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := newSmarthost(t, &smarthost{})
	c := h.channel(t, config.NotifyMail{TLS: config.MailTLSNone, User: "kanmon", PasswordFile: password}, config.Notify{PageURL: "https://page.example/"})
	e := anEvent()
	e.Data.Replies = []string{"550 5.7.1 spam"}
	for range 2 {
		answer, err := c.send(t.Context(), e)
		if err != nil || !strings.HasPrefix(answer, "taken by 127.0.0.1:") {
			t.Fatalf("%q, %v", answer, err)
		}
	}
	m := h.message(t)
	for name, want := range map[string]string{
		"Subject": "kanmon: account bob@acme.example of acme is contained: stop", "Auto-Submitted": "auto-generated", "From": "<kanmon@gw.example.jp>", "To": "<oncall@gw.example.jp>",
		"Message-Id": "<msg_1@gw.example.jp>", "X-Kanmon-Event": "account.contained",
	} {
		if got := m.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	text := decoded(t, m)
	for _, want := range []string{"at: 2026-11-30 14:02 JST\n", "The receiver says:\n    550 5.7.1 spam\n", "What kanmon did:\n", "What to do:\n", "\nhttps://page.example/"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if said := strings.Join(h.lines, "\n"); strings.Count(said, "Message-ID: <msg_1@gw.example.jp>") != 2 || !strings.Contains(said, "AUTH PLAIN") {
		t.Errorf("said\n%s", said)
	}
}

// What a smarthost refuses is an error with its words, fit for a terminal.
func TestSmarthostRefuses(t *testing.T) {
	h := newSmarthost(t, &smarthost{refuses: "550 5.1.1 nobody\x1b[31m here"})
	c := h.channel(t, config.NotifyMail{TLS: config.MailTLSNone}, config.Notify{})
	if _, err := c.send(t.Context(), anEvent()); err == nil || !strings.Contains(err.Error(), "5.1.1 nobody") || strings.ContainsRune(err.Error(), '\x1b') {
		t.Errorf("error %v", err)
	}
}

// Without encryption, and with a certificate that nobody has signed, nothing is sent.
func TestSmarthostMustBeWhoItSays(t *testing.T) {
	for name, h := range map[string]*smarthost{"no STARTTLS": {}, "own certificate": {tls: selfSigned(t)}} {
		newSmarthost(t, h)
		c := h.channel(t, config.NotifyMail{TLS: config.MailTLSByPort}, config.Notify{})
		if _, err := c.send(t.Context(), anEvent()); err == nil {
			t.Errorf("%s: it is sent", name)
		}
		h.mu.Lock()
		if said := strings.Join(h.lines, "\n"); strings.Contains(said, "MAIL") {
			t.Errorf("%s: said\n%s", name, said)
		}
		h.mu.Unlock()
	}
}

func selfSigned(t *testing.T) *tls.Config {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: private}}}
}
