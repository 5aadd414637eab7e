package traffic

import (
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// A Nameserver answers DNS queries over UDP as it is told.
type Nameserver struct {
	// MX gives the name of the only mail server of a domain, Addresses those of a host; nothing: there is none. Names have no dot at
	// their end. Both may be nil.
	MX        func(domain string) string
	Addresses func(host string) []netip.Addr
	// Delay is how long an answer takes; below 0: there is none. It may be nil.
	Delay func(name string) time.Duration
}

// Serve answers until the connection is closed.
func (n *Nameserver) Serve(conn net.PacketConn) {
	var waiting sync.WaitGroup
	defer waiting.Wait()
	closed := make(chan struct{})
	defer close(closed)
	in := make([]byte, 4096)
	for {
		size, from, err := conn.ReadFrom(in)
		if err != nil {
			return
		}
		var query dnsmessage.Message
		if query.Unpack(in[:size]) != nil || len(query.Questions) != 1 {
			continue
		}
		delay := time.Duration(0)
		if n.Delay != nil {
			delay = n.Delay(nameOf(query.Questions[0]))
		}
		answer, err := n.answer(&query)
		switch {
		case err != nil || delay < 0:
		case delay == 0:
			_, _ = conn.WriteTo(answer, from)
		default:
			waiting.Go(func() {
				select {
				case <-closed:
				case <-time.After(delay):
					_, _ = conn.WriteTo(answer, from)
				}
			})
		}
	}
}

func nameOf(q dnsmessage.Question) string {
	return strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
}

const ttl = 60

func (n *Nameserver) answer(query *dnsmessage.Message) ([]byte, error) {
	q := query.Questions[0]
	name := nameOf(q)
	reply := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: query.ID, Response: true, Authoritative: true, RecursionDesired: query.RecursionDesired, RecursionAvailable: true},
		Questions: query.Questions,
	}
	mx, addresses := "", []netip.Addr(nil)
	if n.MX != nil {
		mx = n.MX(name)
	}
	if n.Addresses != nil {
		addresses = n.Addresses(name)
	}
	if mx == "" && len(addresses) == 0 {
		reply.RCode = dnsmessage.RCodeNameError
	}
	header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: ttl}
	if q.Type == dnsmessage.TypeMX && mx != "" {
		host, err := dnsmessage.NewName(mx + ".")
		if err != nil {
			return nil, err
		}
		reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.MXResource{Pref: 10, MX: host}})
	}
	for _, a := range addresses {
		switch {
		case q.Type == dnsmessage.TypeA && a.Is4():
			reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: a.As4()}})
		case q.Type == dnsmessage.TypeAAAA && a.Is6():
			reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	return reply.Pack()
}
