// Package ststest is a policy host of MTA-STS in this process, for any number of domains, each as good or as hostile as a test wants it. Tests
// only.
//
//  1. [New], or [On] with an address of the test's own network.
//  2. [Server.Set] says what a domain's host does; a domain that nothing was said of has the connection closed.
//  3. Give [Server.Roots] and [Server.Dial] to who fetches; [Server.Gets] counts what has come.
package ststest

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"kanmon/internal/smtp/smtptest"
)

// A Host is what the policy host of one domain does. Without more it serves Text as a policy.
type Host struct {
	Text        string
	Status      int              // 0: 200
	Type        string           // "": text/plain
	Header      []string         // further lines of the response's header
	Certificate *tls.Certificate // nil: a valid one of the host's name
	MaxVersion  uint16           // of TLS; 0: the latest
	Wait        <-chan struct{}  // the response begins when it is closed; nil: at once
	Octet       time.Duration    // between two octets of the response
	Raw         func(net.Conn)   // in place of the response: what is done with the connection, inside of TLS
}

// Policy is the text of a policy.
func Policy(mode string, maxAge time.Duration, mxs ...string) string {
	text := "version: STSv1\r\nmode: " + mode + "\r\n"
	for _, mx := range mxs {
		text += "mx: " + mx + "\r\n"
	}
	return text + fmt.Sprintf("max_age: %d\r\n", maxAge/time.Second)
}

// A Server listens for all hosts. It ends with the test.
type Server struct {
	t        testing.TB
	listener net.Listener
	end      context.Context
	tasks    sync.WaitGroup

	mu    sync.Mutex
	hosts map[string]*Host // by server name
	gets  map[string]int   // by server name
	open  map[net.Conn]struct{}
}

// New listens on a free port of the loopback.
func New(t testing.TB) *Server { return On(t, "127.0.0.1:0") }

// On listens on an address.
func On(t testing.TB, address string) *Server {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	end, cancel := context.WithCancel(context.Background())
	s := &Server{t: t, listener: listener, end: end, hosts: map[string]*Host{}, gets: map[string]int{}, open: map[net.Conn]struct{}{}}
	s.tasks.Go(s.accept)
	t.Cleanup(func() {
		cancel()
		_ = listener.Close()
		s.mu.Lock()
		for c := range s.open {
			_ = c.Close()
		}
		s.mu.Unlock()
		s.tasks.Wait()
	})
	return s
}

// Roots has the authority of the certificates.
func (s *Server) Roots() *x509.CertPool { return smtptest.Roots(s.t) }

// Addr is where it listens.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Dial connects to the server, whatever address it is given.
func (s *Server) Dial(ctx context.Context, network, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, s.Addr())
}

// Set says what the policy host of a domain does from now on.
func (s *Server) Set(domain string, h Host) {
	s.t.Helper()
	name := "mta-sts." + domain
	if h.Certificate == nil {
		c := smtptest.Certificate(s.t, smtptest.CertificateOptions{Name: name})
		h.Certificate = &c
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hosts[name] = &h
}

// Gets is how often somebody has come for a domain's policy: has asked for it, or given up on its certificate.
func (s *Server) Gets(domain string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gets["mta-sts."+domain]
}

// Open is how many connections there are.
func (s *Server) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

func (s *Server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.open[conn] = struct{}{}
		s.mu.Unlock()
		s.tasks.Go(func() {
			s.serve(conn)
			_ = conn.Close()
			s.mu.Lock()
			delete(s.open, conn)
			s.mu.Unlock()
		})
	}
}

func (s *Server) serve(conn net.Conn) {
	var host *Host
	inside := tls.Server(conn, &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if host = s.hosts[hello.ServerName]; host == nil {
			return nil, fmt.Errorf("no host %q", hello.ServerName)
		}
		s.gets[hello.ServerName]++
		return &tls.Config{Certificates: []tls.Certificate{*host.Certificate}, MinVersion: tls.VersionTLS10, MaxVersion: host.MaxVersion}, nil
	}})
	if inside.HandshakeContext(s.end) != nil {
		return
	}
	if host.Raw != nil {
		host.Raw(inside)
		return
	}
	request, err := http.ReadRequest(bufio.NewReader(inside))
	if err != nil {
		return
	}
	if host.Wait != nil {
		left := make(chan struct{})
		s.tasks.Go(func() { _, _ = io.Copy(io.Discard, inside); close(left) })
		select {
		case <-host.Wait:
		case <-left:
			return
		case <-s.end.Done():
			return
		}
	}
	s.respond(inside, host, request)
}

func (s *Server) respond(to io.Writer, h *Host, request *http.Request) {
	status, kind := h.Status, h.Type
	if status == 0 {
		status = http.StatusOK
	}
	if request.URL.Path != "/.well-known/mta-sts.txt" {
		status = http.StatusNotFound
	}
	if kind == "" {
		kind = "text/plain"
	}
	header := append([]string{"Content-Type: " + kind, fmt.Sprintf("Content-Length: %d", len(h.Text))}, h.Header...)
	response := fmt.Sprintf("HTTP/1.1 %d %s\r\n%s\r\n\r\n%s", status, http.StatusText(status), strings.Join(header, "\r\n"), h.Text)
	if h.Octet == 0 {
		_, _ = io.WriteString(to, response) // who gives up early is what some tests want
		return
	}
	tick := time.NewTicker(h.Octet)
	defer tick.Stop()
	for i := range len(response) {
		select {
		case <-tick.C:
		case <-s.end.Done():
			return
		}
		if _, err := io.WriteString(to, response[i:i+1]); err != nil {
			return
		}
	}
}
