package netlab

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
)

// A Zone is what the lab's DNS server knows. All else does not exist.
type Zone struct {
	mx    []string
	hosts []string
}

// MX adds a mail server of a domain. Smaller preferences come first.
func (z *Zone) MX(domain, host string, preference int) {
	z.mx = append(z.mx, fmt.Sprintf("mx-host=%s,%s,%d", domain, host, preference))
}

// Address adds addresses of a host, with the names that lead back from them (PTR).
func (z *Zone) Address(host string, addresses ...netip.Addr) {
	record := "host-record=" + host
	for _, address := range addresses {
		record += "," + address.String()
	}
	z.hosts = append(z.hosts, record)
}

// ServeDNS runs dnsmasq with the zone on the host, on all its addresses.
func (h *Host) ServeDNS(zone Zone) error {
	config := strings.Join([]string{
		"no-resolv", "no-hosts", "keep-in-foreground", "user=root", "group=root", "pid-file=", "no-dhcp-interface=*",
		"cache-size=0", "local=/example/", strings.Join(zone.mx, "\n"), strings.Join(zone.hosts, "\n"), "",
	}, "\n")
	file := filepath.Join(h.Dir, "dnsmasq.conf")
	if err := writeFile(file, config); err != nil {
		return err
	}
	_, err := h.Start(Command{
		Name: "dnsmasq",
		Args: []string{h.lab.tools.Path("dnsmasq"), "--conf-file=" + file, "--log-facility=-"},
		Env:  h.lab.tools.Env(),
	})
	return err
}

// UseDNS makes the host resolve names at a server.
func (h *Host) UseDNS(server netip.Addr) error {
	return h.Overlay("/etc/resolv.conf", fmt.Sprintf("nameserver %s\noptions timeout:1 attempts:5\n", server))
}
