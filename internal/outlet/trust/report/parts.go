package report

import "kanmon/internal/who/share"

// A parts is places of which both a tenant and a recipients' domain have a part.
type parts struct{ tenants, domains share.Places[string] }

// take takes a place in both, or in neither.
func (p *parts) take(one *told, b share.Bounds) bool {
	return p.domains.Room(one.domain, b) && p.tenants.Take(one.tenant, b) && p.domains.Take(one.domain, b)
}

func (p *parts) give(one *told) {
	p.tenants.Give(one.tenant)
	p.domains.Give(one.domain)
}
