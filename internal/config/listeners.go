package config

import (
	"net/netip"
	"slices"
)

// Listeners gives all addresses to listen on: those of intercept.listen, and the same with each tenant's own port.
func (c *Config) Listeners() []netip.AddrPort {
	list := slices.Clone(c.Intercept.Listen)
	for _, t := range c.Tenants {
		for _, a := range c.Intercept.Listen {
			if t.ListenPort != 0 {
				list = append(list, netip.AddrPortFrom(a.Addr(), uint16(t.ListenPort)))
			}
		}
	}
	return list
}

// TenantInterfaces says whether a tenant's mail is known by the interface it comes in by.
func (c *Config) TenantInterfaces() bool {
	return slices.ContainsFunc(c.Tenants, func(t Tenant) bool { return len(t.Interfaces) > 0 })
}
