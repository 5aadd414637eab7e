// Package dnszone is the DNS as a test says it is: a server on the loopback interface that answers from lines of text. Tests only.
//
//	server := dnszone.Serve(t, `
//	a.example. A 192.0.2.1
//	10.113.0.203.in-addr.arpa. PTR a.example.
//	broken.example. SERVFAIL
//	quiet.example. SILENT
//	`)
//
// Lines of a later text stand in place of those of the same name and type; "NAME TYPE none" takes them away.
package dnszone

import (
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// A Server answers by UDP and TCP.
type Server struct {
	Addr string // "127.0.0.1:5353"

	mu      sync.Mutex
	records map[string][]dns.RR
	names   map[string]bool
	codes   map[string]string // SERVFAIL, REFUSED, SILENT, by name
	asked   map[string]int
}

// Serve answers from these texts until the test ends.
func Serve(t testing.TB, texts ...string) *Server {
	t.Helper()
	s := &Server{asked: map[string]int{}}
	s.Set(t, texts...)
	packets, listener := listenBoth(t)
	s.Addr = packets.LocalAddr().String()
	ready := make(chan struct{}, 2)
	for _, server := range []*dns.Server{{PacketConn: packets}, {Listener: listener}} {
		server.Handler = s
		server.NotifyStartedFunc = func() { ready <- struct{}{} }
		go func() { _ = server.ActivateAndServe() }() // its end is that of the test
		t.Cleanup(func() { _ = server.Shutdown() })
	}
	<-ready
	<-ready
	return s
}

// Set has the server answer from these texts, and nothing else, from now on.
func (s *Server) Set(t testing.TB, texts ...string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records, s.names, s.codes = map[string][]dns.RR{}, map[string]bool{}, map[string]string{}
	for _, text := range texts {
		fresh := map[string]bool{}
		for line := range strings.Lines(strings.TrimSpace(text)) {
			s.add(t, strings.Fields(line), fresh)
		}
	}
}

func (s *Server) add(t testing.TB, fields []string, fresh map[string]bool) {
	t.Helper()
	if len(fields) < 2 {
		return
	}
	key := fields[0] + " " + fields[1]
	if !fresh[key] {
		fresh[key] = true
		delete(s.records, key)
	}
	switch {
	case len(fields) == 2:
		s.codes[fields[0]] = fields[1]
	case fields[2] == "none":
	default:
		rr, err := dns.NewRR(fields[0] + " 60 IN " + strings.Join(fields[1:], " "))
		if err != nil {
			t.Fatal(err)
		}
		s.records[key] = append(s.records[key], rr)
		s.names[fields[0]] = true
	}
}

// Asked says how often a name was asked for.
func (s *Server) Asked(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[name]
}

// ServeDNS implements [dns.Handler].
func (s *Server) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	name := strings.ToLower(q.Question[0].Name)
	answer := new(dns.Msg).SetReply(q)
	s.mu.Lock()
	s.asked[name]++
	switch code := s.codes[name]; {
	case code == "SILENT":
		s.mu.Unlock()
		return
	case code != "":
		answer.Rcode = dns.StringToRcode[code]
	case !s.names[name]:
		answer.Rcode = dns.RcodeNameError
	default:
		answer.Answer = s.records[name+" "+dns.TypeToString[q.Question[0].Qtype]]
	}
	s.mu.Unlock()
	if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
		answer.Truncate(1232)
	}
	_ = w.WriteMsg(answer) // whoever asked does not wait any more
}

// listenBoth finds a port that is free for UDP and for TCP.
func listenBoth(t testing.TB) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 100 {
		packets, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if listener, err := net.Listen("tcp", packets.LocalAddr().String()); err == nil {
			return packets, listener
		}
		_ = packets.Close()
	}
	t.Fatal("no port is free for both")
	return nil, nil
}
