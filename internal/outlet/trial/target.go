package trial

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Port is where MXs listen (RFC 5321 §4.5.4.2), and the only one that is asked.
const Port = 25

// special are networks where no MX of the Internet is (RFC 6890, and the registries behind it), and those that stand for addresses of others,
// which may be such ones: IPv4-mapped, NAT64, 6to4, Teredo.
var special = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.88.99.0/24", "192.168.0.0/16",
	"198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
	"::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/32", "2002::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
)

// never are those that no configuration opens: they are this host, its link, or no host.
var never = prefixes("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32", "::/96", "::ffff:0:0/96", "fe80::/10", "ff00::/8")

func prefixes(list ...string) (all []netip.Prefix) {
	for _, text := range list {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// Target says why an address may not be asked; nil: it may. Own tells the addresses of this host. Named are the networks that a person has
// named in the configuration as places where mail goes: such a one may be private.
func Target(mx netip.Addr, own func(netip.Addr) bool, named []netip.Prefix) error {
	mx = mx.Unmap()
	within := func(n netip.Prefix) bool { return n.Contains(mx) }
	switch {
	case !mx.IsValid() || mx.Zone() != "":
		return fmt.Errorf("%s is no address that mail could go to", mx)
	case own(mx):
		return fmt.Errorf("%s is an address of this host: kanmon does not ask itself", mx)
	case slices.ContainsFunc(never, within), slices.ContainsFunc(special, within) && !slices.ContainsFunc(named, within):
		return fmt.Errorf("%s is no address on the Internet, where mail could go to: a private one can be tried if a [[destination]] or a [[route]] of the configuration names its network", mx)
	}
	return nil
}

// maxMailbox bounds what may be asked of a mailbox (RFC 5321 §4.5.3.1.3).
const maxMailbox = 254

// Path makes what stands in MAIL or RCPT of an address as a person gives it. "<>" is the null sender. What could be more than one
// word of a command is refused, and so is what needs SMTPUTF8: an MX without it would answer that, and not what was asked.
func Path(address string) (string, error) {
	if address == "<>" {
		return address, nil
	}
	address = strings.TrimSuffix(strings.TrimPrefix(address, "<"), ">")
	local, domain, whole := cutLast(address)
	switch {
	case !whole || local == "" || domain == "" || len(address) > maxMailbox:
		return "", fmt.Errorf("%.60q is no mail address", address)
	case strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '<' || r == '>' }):
		return "", fmt.Errorf("%.60q has characters that a try does not send: want visible ASCII, and the domain as xn--… where it is not", address)
	}
	return "<" + address + ">", nil
}

func cutLast(address string) (local, domain string, found bool) {
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return "", "", false
	}
	return address[:at], address[at+1:], true
}
