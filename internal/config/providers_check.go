package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"kanmon/internal/who/mailbox"
	"kanmon/internal/who/witness"
)

// Whoever has a host name that stands for a provider's MX speaks for the provider: his domain's MX record may point to it. So a zone
// ("*.example.jp") may only stand there if nobody but the provider can have a host in it.

// subscriber finds the labels of names that access providers give to their subscribers' addresses, and hosters to their customers'.
var subscriber = regexp.MustCompile(`(?i)^(abo|access|bb|broadband|cable|cpe|cust|customers?|dedicated|dhcp|dial|dialin|dialup|dip\d*|dsl|adsl|vdsl|dyn|dynamic|dynip|fiber|ftth|hosts?|hsd\d*|ip|kunden|mobile|pool|ppp|ppoe|res|res-?net|ri|static|subs?|subscribers?|user|users|vps|wsip)$`)

// riskOf says why a name of a provider's MX may be that of somebody else; "" if nothing speaks for it. It looks at the name alone.
func riskOf(p *Provider, name string) string {
	form, known := mailbox.Pattern(name)
	zone, wild := strings.CutPrefix(form, "*.")
	if !known || !wild {
		return ""
	}
	for label := range strings.SplitSeq(zone, ".") {
		if subscriber.MatchString(label) {
			return fmt.Sprintf("%q in it is a usual part of the names of subscribers", label)
		}
	}
	own := func(domain string) bool {
		domain = strings.TrimPrefix(domain, "*.")
		return coversDomain(zone, domain) || coversDomain(form, domain)
	}
	switch {
	case slices.ContainsFunc(p.Domains, own):
		return "its recipient domains are in it, too: subscribers of an access provider have names below its domain"
	case witness.Registered(zone) == zone:
		return "it is a whole registered domain: not only MXs have names in it"
	}
	return ""
}

// A RiskyName is a name of an MX, in an operator's own file of providers, by which a stranger may speak for the provider.
type RiskyName struct{ Provider, Name, Why string }

// RiskyNames returns those of providers_file.
func (c *Config) RiskyNames() (list []RiskyName) {
	own := c.providers[len(c.providers)-c.ownProviders:]
	for i := range own {
		for _, name := range own[i].MX {
			if why := riskOf(&own[i], name); why != "" {
				list = append(list, RiskyName{own[i].Name, name, why})
			}
		}
	}
	return list
}

// codeRange is an enhanced code (RFC 3463), or some that follow one another.
var codeRange = regexp.MustCompile(`^[45]\.\d{1,3}\.\d{1,3}(-\d{1,3})?$`)

func (d *decoder) validateCodes(key string, codes []string) {
	for i, code := range codes {
		d.judge(rule{
			fmt.Sprintf("%s[%d]", key, i), code, codeRange.MatchString(code), "%q is not an enhanced code of a refusal",
			`want "5.7.708", or "5.7.606-649" for all from one to the other`,
		})
	}
}
