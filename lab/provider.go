package main

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"kanmon/test/netlab"
)

// providerNames are those of the providers in a world that has them. Each has an MX of its own and some domains.
var providerNames = []string{"red", "green", "blue"}

const (
	firstProviderMX = mailboxMX + 1 // the others follow
	providerDomains = 4             // of each provider
)

// A reputation is when a provider lists a sending IP, until the end: once it has asked for more unknown recipients than Unknown within
// a time.
type reputation struct {
	Unknown int
	Within  time.Duration
}

// nobody is what the addresses of recipients that do not exist begin with.
const nobody = "nobody-"

// recipients gives the addresses of a sender's mails, each another one, in turn at all providers and their domains.
func recipients(who string, exists func(n int) bool) func(n int) string {
	return func(n int) string {
		name, providers := "user-", len(providerNames)
		if !exists(n) {
			name = nobody
		}
		return fmt.Sprintf("%s%s-%d@d%d.%s.example", name, who, n, n/providers%providerDomains, providerNames[n%providers])
	}
}

// exists says whether the mail's recipient does.
func (m *mail) exists() bool { return !strings.HasPrefix(m.to, nobody) }

// An answer is what a provider says of a recipient.
type answer uint8

const (
	taken     answer = iota
	unknown          // the recipient
	listedNow        // the sending IP
)

// A question is a RCPT that reached a provider.
type question struct {
	at     time.Duration
	client netip.Addr
	to     string
	answer answer
}

// A provider is one's MX: it knows which recipients exist, and lists sending IPs.
type provider struct {
	name string
	rule reputation
	now  func() time.Duration

	mu      sync.Mutex
	asked   []question
	unknown map[netip.Addr][]time.Duration // questions of a sending IP, of the time that counts
	listed  map[netip.Addr]time.Duration   // since when
}

func newProvider(name string, rule reputation, now func() time.Duration) *provider {
	return &provider{name: name, rule: rule, now: now, unknown: map[netip.Addr][]time.Duration{}, listed: map[netip.Addr]time.Duration{}}
}

// refuse gives the reply to a RCPT that is refused, "" to all else.
func (p *provider) refuse(client net.Addr, command string) string {
	path, isRecipient := strings.CutPrefix(command, "RCPT TO:<")
	if !isRecipient {
		return ""
	}
	to, _, _ := strings.Cut(path, ">")
	q := question{at: p.now(), client: addressOf(client), to: to}
	p.mu.Lock()
	defer p.mu.Unlock()
	reply := ""
	switch _, listed := p.listed[q.client]; {
	case listed:
		q.answer, reply = listedNow, fmt.Sprintf(listedReply, q.client)
	case strings.HasPrefix(to, nobody):
		q.answer, reply = unknown, fmt.Sprintf(unknownReply, to)
		p.strike(&q)
	}
	p.asked = append(p.asked, q)
	return reply
}

// What a provider says.
const (
	unknownReply = "550 5.1.1 <%s>: Recipient address rejected: User unknown"
	listedReply  = "554 5.7.1 Service unavailable; client [%v] is listed on our block list"
)

// strike counts an unknown recipient against the sending IP that asked for it.
func (p *provider) strike(q *question) {
	counted := append(p.unknown[q.client], q.at)
	for counted[0] <= q.at-p.rule.Within {
		counted = counted[1:]
	}
	if p.unknown[q.client] = counted; len(counted) > p.rule.Unknown {
		p.listed[q.client] = q.at
	}
}

// serveProviders serves them all, and the tenants' mailboxes.
func (s *site) serveProviders() error {
	for i, name := range providerNames {
		p := newProvider(name, *s.setup.Reputation, s.ledger.now)
		s.providers = append(s.providers, p)
		mx := &netlab.SlowMX{Name: providerMX(name), PerReply: farMX, Refuse: p.refuse, Received: s.ledger.receive}
		if err := mx.Serve(s.world.MXs[firstProviderMX+i-1]); err != nil {
			return err
		}
	}
	return s.serveMailboxes()
}

func providerMX(name string) string { return "in." + name + ".example" }

// addProviders adds the providers' domains and MXs.
func addProviders(z *netlab.Zone) {
	for i, name := range providerNames {
		for n := range providerDomains {
			z.MX(fmt.Sprintf("d%d.%s.example", n, name), providerMX(name), 10)
		}
		z.Address(providerMX(name), netlab.MXAddr(firstProviderMX+i, false))
	}
}

// providersFile tells kanmon which MXs are whose.
func providersFile(folder string) (path, content string) {
	for _, name := range providerNames {
		content += fmt.Sprintf("[[provider]]\nname = %q\nmx   = [%q]\n", name, providerMX(name))
	}
	return filepath.Join(folder, "providers.toml"), content
}
