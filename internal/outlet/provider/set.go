// Package provider tells which provider a mail goes to: Google, an Exchange Online tenant, a carrier, a filter in the cloud.
// Providers are known by the names of their MXs (RFC 5321 section 5.1), and the largest by their own domains, too.
//
// Normal use:
//
//  1. [NewSet] from the list of the configuration. It answers for names alone, without a lookup.
//  2. [New] for the lookups: recipient domain, its MX names, its provider.
//  3. [Lookup.At] when a connection is opened, and [Lookup.Of] when a recipient is known: they never wait. [Lookup.Find] at RCPT,
//     and only where a route asks for the provider: it waits for no more than the time that it was given. What comes later serves
//     the next session.
//  4. [Lookup.Learn] behind every mail, so that At knows.
//  5. [Lookup.Close] ends what still runs. What it has learnt is the next Lookup's, if both have the same Config.Addresses and MXs.
package provider

import (
	"strings"

	"kanmon/internal/who/mailbox"
)

// A Provider is a group of destinations run by one operator. Names are in any form that package mailbox reads;
// "*.example.jp" stands for all names below example.jp, and not for example.jp itself.
type Provider struct {
	Name    string
	Domains []string // recipient domains that are its own: they need no lookup
	MX      []string // host names of its MXs
	Settings
}

// Settings are what is to be known of a provider beside its names, as the configuration has it.
type Settings struct {
	// BlockCodes are enhanced codes by which it refuses an IP and that none of its customers can set: "5.7.708", or "5.7.606-649".
	BlockCodes []string `toml:"block_codes"`
	// CustomersRunMX: its MXs are its customers' own, whatever they say before a recipient is known is theirs, too.
	CustomersRunMX bool `toml:"customers_run_mx"`
}

// A Set knows providers by names. It is immutable.
type Set struct {
	domains, mx names
	named       map[string]bool
	words       map[string]words
}

// NewSet makes a Set. Where two providers claim a name the later one has it.
func NewSet(list []Provider) *Set {
	s := &Set{domains: names{}, mx: names{}, named: map[string]bool{}, words: map[string]words{}}
	for _, p := range list {
		add(s.domains, p.Domains, p.Name)
		add(s.mx, p.MX, p.Name)
		s.named[p.Name] = true
		w := words{Settings: p.Settings}
		for _, text := range p.BlockCodes {
			if c, ok := parseCodes(text); ok {
				w.codes = append(w.codes, c)
			}
		}
		s.words[p.Name] = w
	}
	return s
}

// has reports whether there is a provider of this name.
func (s *Set) has(name string) bool { return s.named[name] }

// OfDomain returns the provider whose own domain this is, and the name in the list that says so; "" for neither.
func (s *Set) OfDomain(domain string) (provider, name string) { return find(s.domains, normal(domain)) }

// OfMX returns the provider that an MX of this name belongs to, and the name in the list that says so; "" for neither.
func (s *Set) OfMX(host string) (provider, name string) { return find(s.mx, normal(host)) }

// names maps "example.jp", and ".example.jp" for all below it, to a provider. Looking up costs one access for each label.
type names = mailbox.DomainMap[entry]

type entry struct{ provider, name string }

func add(to names, list []string, provider string) {
	for _, name := range list {
		key := normal(name)
		if form, ok := mailbox.Pattern(name); ok {
			key = form // a recipient's domain comes in A-labels
		}
		to.Put(key, entry{provider, name})
	}
}

// find lets the most specific name win.
func find(in names, host string) (provider, name string) {
	for e := range in.Of(host) {
		return e.provider, e.name
	}
	return "", ""
}

// normal returns a name in the form of the maps. It allocates only for names with capitals.
func normal(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
