package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	miekg "github.com/miekg/dns"

	"kanmon/test/dnszone"
)

// A message is an answer that a test writes.
type message struct {
	*miekg.Msg
	w   miekg.ResponseWriter
	q   *miekg.Msg
	udp bool
}

// reply makes an answer of a function.
func reply(write func(*message)) miekg.HandlerFunc {
	return func(w miekg.ResponseWriter, q *miekg.Msg) {
		m := &message{Msg: new(miekg.Msg).SetReply(q), w: w, q: q}
		_, m.udp = w.RemoteAddr().(*net.UDPAddr)
		m.RecursionAvailable = true
		write(m)
		if m.udp {
			m.Truncate(bufferSize)
		}
		_ = w.WriteMsg(m.Msg)
	}
}

func (m *message) rr(text string) {
	if rr, err := miekg.NewRR(text); err == nil {
		m.Answer = append(m.Answer, rr)
	}
}

func (m *message) authority(text string) {
	if rr, err := miekg.NewRR(text); err == nil {
		m.Ns = append(m.Ns, rr)
	}
}

// raw adds a record with these octets, given in hexadecimal digits.
func (m *message) raw(kind Kind, data string) {
	m.Answer = append(m.Answer, &miekg.RFC3597{
		Hdr:   miekg.RR_Header{Name: m.q.Question[0].Name, Rrtype: uint16(kind), Class: miekg.ClassINET, Ttl: 60, Rdlength: uint16(len(data) / 2)},
		Rdata: data,
	})
}

// forge writes another answer ahead of the true one: with AD, and an address of the liar.
func (m *message) forge(change func(*miekg.Msg)) {
	lie := new(miekg.Msg).SetReply(m.q)
	lie.AuthenticatedData = true
	if rr, err := miekg.NewRR(m.q.Question[0].Name + " 60 IN A 198.51.100.66"); err == nil {
		lie.Answer = append(lie.Answer, rr)
	}
	change(lie)
	_ = m.w.WriteMsg(lie)
}

// What comes by UDP and is no answer to the question is dropped, whatever it says, and the question is asked by TCP.
//
// tls-A18
func TestForgedAnswersAreDropped(t *testing.T) {
	for name, change := range map[string]func(*miekg.Msg){
		"id":            func(m *miekg.Msg) { m.Id++ },
		"name":          func(m *miekg.Msg) { m.Question[0].Name = "b.test." },
		"type":          func(m *miekg.Msg) { m.Question[0].Qtype = miekg.TypeMX },
		"class":         func(m *miekg.Msg) { m.Question[0].Qclass = miekg.ClassCHAOS },
		"no question":   func(m *miekg.Msg) { m.Question = nil },
		"two questions": func(m *miekg.Msg) { m.Question = append(m.Question, m.Question[0]) },
		"a question":    func(m *miekg.Msg) { m.Response = false },
		"a notice":      func(m *miekg.Msg) { m.Opcode = miekg.OpcodeNotify },
		"cut":           func(m *miekg.Msg) { m.Truncated = true },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Settings{}, func(t *testing.T, w *world) {
				byTCP := 0
				w.zone().Handle("a.test.", reply(func(m *message) {
					m.rr("A.test. 60 IN A 192.0.2.1")
					if m.udp {
						m.forge(change)
						return
					}
					byTCP++
					m.Question[0].Name = "A.TEST." // some change the case
				}))
				a := w.want("a.test", TypeA, Found, false)
				if a.Outcome == Found && a.Addrs[0] != netip.MustParseAddr("192.0.2.1") || byTCP != 1 {
					t.Errorf("%+v, %d times by TCP", a, byTCP)
				}
			})
		})
	}
}

// A server that lies by TCP as well has said nothing.
//
// tls-A18
func TestALiarByTCPHasSaidNothing(t *testing.T) {
	inWorld(t, Settings{}, func(t *testing.T, w *world) {
		w.zone().Handle("a.test.", reply(func(m *message) { m.forge(func(lie *miekg.Msg) { lie.Id++ }) }))
		a := w.want("a.test", TypeA, Failed, false)
		says(t, a.Err, "no answer to the question")
	})
}

// An answer from another address, with all else right, is dropped by the kernel.
//
// tls-A18
func TestAnswersFromElsewhereAreDropped(t *testing.T) {
	server := dnszone.Serve(t, zone)
	liar, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer liar.Close()
	var sent atomic.Int64
	server.Handle("a.test.", reply(func(m *message) {
		m.rr("a.test. 60 IN A 192.0.2.1")
		lie := new(miekg.Msg).SetReply(m.q)
		lie.AuthenticatedData = true
		rr, _ := miekg.NewRR("a.test. 60 IN A 198.51.100.66")
		lie.Answer = append(lie.Answer, rr)
		if packet, err := lie.Pack(); err == nil {
			n, _ := liar.WriteTo(packet, m.w.RemoteAddr())
			sent.Add(int64(n))
		}
	}))
	c := realClient(t, server.Addr)
	a := c.Ask(t.Context(), "a.test", TypeA, "")
	if a.Outcome != Found || a.Addrs[0] != netip.MustParseAddr("192.0.2.1") || a.Secure || sent.Load() == 0 {
		t.Errorf("%+v, %d octets of a lie", a, sent.Load())
	}
}

// realClient asks servers by true sockets.
func realClient(t *testing.T, servers ...string) *Client {
	t.Helper()
	c, err := New(Settings{Servers: servers, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// AD is worth nothing from a server that is not on this host, unless the operator trusts it.
//
// tls-A18, tls-S42
func TestADIsBelievedOfTrustedServersAlone(t *testing.T) {
	for _, trusted := range []bool{false, true} {
		inWorld(t, Settings{Servers: []string{far}, TrustAD: trusted}, func(t *testing.T, w *world) {
			a := w.ask("signed.test", TypeMX)
			if a.Outcome != Found || a.Secure != trusted || a.Unsure {
				t.Errorf("trusted %t: %+v", trusted, a)
			}
			if s := w.State(); s.Validates != trusted || s.Lost || (s.Why == "") != trusted || !s.Answers {
				t.Errorf("trusted %t: %+v", trusted, s)
			}
		})
	}
}

// TLSA records that are too short or too long are there, and of no use. None of them makes a panic.
//
// tls-A9
func TestOddTLSARecords(t *testing.T) {
	for name, c := range map[string]struct {
		data      string
		want      []TLSA
		truncated bool
	}{
		"empty":         {"", []TLSA{{}}, false},
		"usage":         {"03", []TLSA{{Usage: 3}}, false},
		"three octets":  {"030101", []TLSA{{3, 1, 1, nil}}, false},
		"short":         {"030101abcd", []TLSA{{3, 1, 1, []byte{0xab, 0xcd}}}, false},
		"65,000 octets": {"030001" + strings.Repeat("ab", 64_997), nil, true},
	} {
		inWorld(t, Settings{}, func(t *testing.T, w *world) {
			w.zone().Handle("a.test.", reply(func(m *message) { m.raw(TypeTLSA, c.data) }))
			a := w.want("a.test", TypeTLSA, Found, false)
			if fmt.Sprint(a.TLSA) != fmt.Sprint(c.want) || a.Truncated != c.truncated {
				t.Errorf("%s: %v, truncated %t", name, a.TLSA, a.Truncated)
			}
		})
	}
	inWorld(t, Settings{}, func(t *testing.T, w *world) {
		w.zone().Handle("a.test.", reply(func(m *message) {
			for i := range 500 {
				m.raw(TypeTLSA, fmt.Sprintf("030101%064x", i))
			}
		}))
		if a := w.want("a.test", TypeTLSA, Found, false); len(a.TLSA) != mostRecords || !a.Truncated {
			t.Errorf("%d records, truncated %t", len(a.TLSA), a.Truncated)
		}
	})
}

// Of thousands of MXs the best 32 are kept, and it is said that there are more.
//
// tls-A8
func TestThousandsOfMXs(t *testing.T) {
	inWorld(t, Settings{}, func(t *testing.T, w *world) {
		w.zone().Handle("a.test.", reply(func(m *message) {
			m.Compress = true
			for i := range 3000 { // 5,000 do not fit into a message
				m.rr(fmt.Sprintf("a.test. 60 IN MX %d m%d.test.", 3000-i, i))
			}
		}))
		a := w.want("a.test", TypeMX, Found, false)
		if len(a.MX) != mostMX || !a.Truncated || a.MX[0] != (MX{"m2999.test", 1}) || a.MX[31] != (MX{"m2968.test", 32}) {
			t.Errorf("%d, truncated %t: %v", len(a.MX), a.Truncated, a.MX)
		}
	})
}

// A name has a thousand addresses.
//
// tls-A8
func TestAThousandAddresses(t *testing.T) {
	inWorld(t, Settings{}, func(t *testing.T, w *world) {
		w.zone().Handle("a.test.", reply(func(m *message) {
			for i := range 1000 {
				m.rr(fmt.Sprintf("a.test. 60 IN A 10.0.%d.%d", i/250, i%250))
			}
		}))
		if a := w.want("a.test", TypeA, Found, false); len(a.Addrs) != mostRecords || !a.Truncated {
			t.Errorf("%d, truncated %t", len(a.Addrs), a.Truncated)
		}
	})
}

// What a message says may contradict itself. That is a failure, and no absence.
//
// tls-A8
func TestMessagesWithoutSense(t *testing.T) {
	chain := func(n int) (all []string) {
		for i := range n {
			all = append(all, fmt.Sprintf("c%d.test. 60 IN CNAME c%d.test.", i, i+1))
		}
		return append(all, fmt.Sprintf("c%d.test. 60 IN A 192.0.2.1", n))
	}
	for name, c := range map[string]struct {
		want    Outcome
		records []string
		change  func(*message)
	}{
		"an alias of itself":         {Failed, []string{"c0.test. 60 IN CNAME c0.test."}, nil},
		"a circle":                   {Failed, []string{"c0.test. 60 IN CNAME c1.test.", "c1.test. 60 IN CNAME c0.test."}, nil},
		"two aliases":                {Failed, []string{"c0.test. 60 IN CNAME a.test.", "c0.test. 60 IN CNAME b.test."}, nil},
		"the same twice":             {Found, []string{"c0.test. 60 IN CNAME a.test.", "c0.test. 60 IN CNAME A.test.", "a.test. 60 IN A 192.0.2.1"}, nil},
		"15 aliases":                 {Found, chain(15), nil},
		"16 aliases":                 {Failed, chain(16), nil},
		"a DNAME and its CNAME":      {Found, []string{"test. 60 IN DNAME other.", "c0.test. 60 IN CNAME c0.other.", "c0.other. 60 IN A 192.0.2.1"}, nil},
		"a DNAME alone":              {Failed, []string{"test. 60 IN DNAME other."}, nil},
		"a record of somebody else":  {NoData, []string{"x.test. 60 IN A 192.0.2.1"}, nil},
		"another class":              {NoData, []string{"c0.test. 60 CH A 192.0.2.1", "c0.test. 60 IN AAAA 2001:db8::1"}, nil},
		"an address of no octets":    {Failed, nil, func(m *message) { m.raw(TypeA, "") }},
		"an address of three octets": {Failed, nil, func(m *message) { m.raw(TypeA, "c00002") }},
		"records of no name":         {Failed, []string{"c0.test. 60 IN A 192.0.2.1"}, func(m *message) { m.Rcode = miekg.RcodeNameError }},
		"an alias to no name":        {NoName, []string{"c0.test. 60 IN CNAME a.test."}, func(m *message) { m.Rcode = miekg.RcodeNameError }},
		"an alias to no records":     {NoData, []string{"c0.test. 60 IN CNAME a.test."}, nil},
		"an unknown error":           {Failed, nil, func(m *message) { m.Rcode = 13 }},
		"a referral": {Failed, nil, func(m *message) {
			m.RecursionAvailable = false
			m.authority("test. 60 IN NS ns.test.")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Settings{}, func(t *testing.T, w *world) {
				w.zone().Handle("c0.test.", reply(func(m *message) {
					for _, r := range c.records {
						m.rr(r)
					}
					if c.change != nil {
						c.change(m)
					}
				}))
				w.want("c0.test", TypeA, c.want, false)
			})
		})
	}
	inWorld(t, Settings{}, func(t *testing.T, w *world) {
		w.zone().Handle("c0.test.", reply(func(m *message) { m.raw(TypeMX, "") }))
		w.want("c0.test", TypeMX, Failed, false)
		w.want("c0.test", TypeTXT, NoData, false)
	})
}

// A packet may count more records than it has, end in the middle, or have labels that are none. That is a failure, and no absence.
//
// tls-A8, tls-A9
func TestBrokenPackets(t *testing.T) {
	for name, c := range map[string]struct {
		brk   func(packet []byte) []byte
		fails bool
	}{
		"as it is":           {func(p []byte) []byte { return p }, false},
		"one record is none": {func(p []byte) []byte { binary.BigEndian.PutUint16(p[6:], 3); return p }, true},
		"no record is there": {func(p []byte) []byte { return p[:12+4+8] }, true},
		"a half":             {func(p []byte) []byte { return p[:len(p)-1] }, true},
		"a header":           {func(p []byte) []byte { return p[:12] }, true},
		"too short":          {func(p []byte) []byte { return p[:11] }, true},
		"a reserved label":   {func(p []byte) []byte { p[12+12] = 0x80; return p }, true},
		"a long label":       {func(p []byte) []byte { p[12+12] = 0x3f; return p }, true},
		"a pointer to itself": {func(p []byte) []byte {
			p[12+12], p[12+13] = 0xc0, 12+12
			return p
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Settings{}, func(t *testing.T, w *world) {
				w.zone().Handle("a.test.", func(rw miekg.ResponseWriter, q *miekg.Msg) {
					m := &message{Msg: new(miekg.Msg).SetReply(q)}
					m.rr("a.test. 60 IN A 192.0.2.1")
					m.rr("a.test. 60 IN A 192.0.2.2")
					packet, err := m.Pack()
					if err != nil {
						t.Error(err)
					}
					_, _ = rw.Write(c.brk(packet))
				})
				if a := w.ask("a.test", TypeA); (a.Outcome == Failed) != c.fails {
					t.Errorf("%+v", a)
				}
			})
		})
	}
}

// Some servers refuse without repeating the question. A refusal may be believed of anybody.
func TestABareRefusal(t *testing.T) {
	inWorld(t, Settings{}, func(t *testing.T, w *world) {
		w.zone().Handle("a.test.", reply(func(m *message) { m.Question, m.Rcode = nil, miekg.RcodeRefused }))
		says(t, w.want("a.test", TypeA, Failed, false).Err, "answers REFUSED")
	})
}

// What a resolver says of an error is a stranger's text.
//
// tls-A17
func TestExtendedErrorsAreSanitised(t *testing.T) {
	inWorld(t, Settings{}, func(t *testing.T, w *world) {
		w.zone().Handle("a.test.", reply(func(m *message) {
			m.Rcode = miekg.RcodeServerFailure
			m.SetEdns0(1232, false).IsEdns0().Option = []miekg.EDNS0{
				&miekg.EDNS0_EDE{InfoCode: 7, ExtraText: "for\x1b[2J\r\n" + strings.Repeat("x", 900)}, &miekg.EDNS0_EDE{InfoCode: 22},
			}
		}))
		a := w.want("a.test", TypeA, Failed, false)
		says(t, a.Err, "answers SERVFAIL (Signature Expired: for?[2J  xxx")
		if text := a.Err.Error(); !a.Bogus || len(text) > 2*mostSaid || strings.ContainsAny(text, "\x1b\r\n") {
			t.Errorf("bogus %t: %q", a.Bogus, text)
		}
	})
}

// A panic costs one question.
func TestAPanicCostsOneQuestion(t *testing.T) {
	calm := dnszone.New(t, zone)
	wild := func(ctx context.Context, network, address string) (net.Conn, error) {
		if network == "udp" {
			panic("by the library")
		}
		return calm.Dial(ctx, network, address)
	}
	c, err := New(Settings{Servers: []string{here}, Dial: wild, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	a := c.Ask(t.Context(), "signed.test", TypeMX, "")
	says(t, a.Err, "by the library")
	if err := c.Close(); err != nil || a.Outcome != Failed {
		t.Errorf("%+v, %v", a, err)
	}
	if a := c.Ask(t.Context(), "other.test", TypeMX, ""); !errors.Is(a.Err, ErrClosed) {
		t.Errorf("%+v", a)
	}
}

// Exchange asks by true sockets and keeps nothing.
func TestExchange(t *testing.T) {
	server := dnszone.Serve(t, zone)
	for range 2 {
		if a := Exchange(t.Context(), server.Addr, "signed.test.", TypeMX, 10*time.Second); a.Outcome != Found || !a.Secure || len(a.MX) != 2 {
			t.Errorf("%+v", a)
		}
	}
	if asked := server.Asked("signed.test."); asked != 2 {
		t.Errorf("asked %d times", asked)
	}
	if a := Exchange(t.Context(), server.Addr, ".", TypeSOA, 10*time.Second); a.Outcome != Found || !a.Secure {
		t.Errorf("of the root it says %+v", a)
	}
	if a := Exchange(t.Context(), server.Addr, "a..b", TypeMX, time.Second); !errors.Is(a.Err, ErrName) {
		t.Errorf("%+v", a)
	}
}
