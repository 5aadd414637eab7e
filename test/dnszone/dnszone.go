// Package dnszone is the DNS as a test says it is: a server on the loopback interface that answers from lines of text. Tests only.
//
//	server := dnszone.Serve(t, `
//	a.example. A 192.0.2.1
//	10.113.0.203.in-addr.arpa. PTR a.example.
//	broken.example. SERVFAIL
//	quiet.example. SILENT
//	`)
//
// Lines of a later text stand in place of those of the same name and type; "NAME TYPE none" takes them away. In place of records a name, or
// a name and a type ("a.example. TLSA SERVFAIL"), has one of these words:
//
//	SERVFAIL, REFUSED, NOTIMP …   that error
//	BOGUS                         SERVFAIL, with the extended error that validation failed (RFC 8914)
//	SILENT                        no answer
//	CUT                           an answer by UDP that is cut short, and none by TCP
//	SIGNED, UNSIGNED              a resolver that validates finds this name, and those below, secure or insecure; by default insecure
//
// It is a resolver: it follows aliases, says for how long an absence holds, and sets AD for whoever asks for it, if all names on the way are
// SIGNED. With ". SIGNED" it validates. What it should do besides is a function, see [Server.Handle].
package dnszone

import (
	"cmp"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// A Server answers by UDP and TCP.
type Server struct {
	Addr string // "127.0.0.1:5353"; "": it listens nowhere

	mu      sync.Mutex
	records map[string][]dns.RR
	names   map[string]bool
	words   map[string]string // by name, and by name and type
	signed  map[string]bool   // by name
	asked   map[string]int
	handle  map[string]dns.HandlerFunc
	delay   time.Duration
	blind   bool
}

// soa stands beside every absence.
const soa = ". 60 IN SOA a.root. host.root. 1 1 1 1 60"

// New makes a server that listens nowhere: [Server.Dial] leads to it.
func New(t testing.TB, texts ...string) *Server {
	t.Helper()
	s := &Server{asked: map[string]int{}, handle: map[string]dns.HandlerFunc{}}
	s.Set(t, texts...)
	return s
}

// Serve answers from these texts until the test ends.
func Serve(t testing.TB, texts ...string) *Server {
	t.Helper()
	s := New(t, texts...)
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
	s.records, s.names = map[string][]dns.RR{}, map[string]bool{".": true}
	s.words, s.signed = map[string]string{}, map[string]bool{}
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
	last := fields[len(fields)-1]
	switch {
	case last == "SIGNED", last == "UNSIGNED":
		s.signed[fields[0]] = last == "SIGNED"
	case len(fields) == 2:
		s.words[fields[0]] = last
	case fields[2] == "none":
	case len(fields) == 3 && isWord(last):
		s.words[key] = last
	default:
		rr, err := dns.NewRR(fields[0] + " 60 IN " + strings.Join(fields[1:], " "))
		if err != nil {
			t.Fatal(err)
		}
		s.records[key] = append(s.records[key], rr)
		s.names[fields[0]] = true
	}
}

func isWord(text string) bool {
	_, code := dns.StringToRcode[text]
	return code || text == "BOGUS" || text == "SILENT" || text == "CUT"
}

// Validates says whether the server still sets AD.
func (s *Server) Validates(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blind = !yes
}

// Delay has every answer wait so long.
func (s *Server) Delay(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay = d
}

// Handle has questions about a name answered by a function, whatever the texts say; nil: by the texts again.
func (s *Server) Handle(name string, f dns.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handle[name] = f
}

// Asked says how often a name was asked for, or a name and a type: "a.example. MX".
func (s *Server) Asked(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[what]
}

// ServeDNS implements [dns.Handler].
func (s *Server) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	name, kind := strings.ToLower(q.Question[0].Name), dns.TypeToString[q.Question[0].Qtype]
	s.mu.Lock()
	s.asked[name]++
	s.asked[name+" "+kind]++
	delay, handle := s.delay, s.handle[name]
	word := cmp.Or(s.words[name+" "+kind], s.words[name])
	answer := s.answer(q, name, kind)
	s.mu.Unlock()
	time.Sleep(delay)
	_, udp := w.RemoteAddr().(*net.UDPAddr)
	switch {
	case handle != nil:
		handle(w, q)
		return
	case word == "SILENT", word == "CUT" && !udp:
		return
	case word == "CUT":
		answer = new(dns.Msg).SetReply(q)
		answer.Truncated = true
	case word == "BOGUS":
		answer = new(dns.Msg).SetRcode(q, dns.RcodeServerFailure)
		answer.SetEdns0(1232, false).IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeDNSBogus}}
	case word != "":
		answer = new(dns.Msg).SetRcode(q, dns.StringToRcode[word])
	}
	if udp {
		answer.Truncate(1232)
	}
	_ = w.WriteMsg(answer) // whoever asked does not wait any more
}

// mostAliases is where a resolver stops following them.
const mostAliases = 20

// answer is what the texts have; s.mu is held.
func (s *Server) answer(q *dns.Msg, name, kind string) *dns.Msg {
	answer := new(dns.Msg).SetReply(q)
	answer.RecursionAvailable = true
	secure := s.isSigned(name)
	for range mostAliases {
		alias := s.records[name+" CNAME"]
		if len(alias) == 0 || kind == "CNAME" {
			break
		}
		answer.Answer = append(answer.Answer, alias...)
		name = strings.ToLower(alias[0].(*dns.CNAME).Target)
		secure = secure && s.isSigned(name)
	}
	found := s.records[name+" "+kind]
	if name == "." && kind == "SOA" {
		found = []dns.RR{rootSOA()}
	}
	if len(found) == 0 {
		answer.Ns = []dns.RR{rootSOA()}
	}
	if !s.names[name] {
		answer.Rcode = dns.RcodeNameError
	}
	answer.Answer = append(answer.Answer, found...)
	answer.AuthenticatedData = secure && q.AuthenticatedData && !s.blind
	return answer
}

func rootSOA() dns.RR {
	rr, _ := dns.NewRR(soa)
	return rr
}

// isSigned goes by what is said of the closest name; s.mu is held.
func (s *Server) isSigned(name string) bool {
	for i, end := 0, false; !end; i, end = dns.NextLabel(name, i) {
		if signed, said := s.signed[name[i:]]; said {
			return signed
		}
	}
	return s.signed["."]
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
