package check

import (
	"cmp"
	"fmt"
	"slices"

	"kanmon/internal/outlet/host"
)

// metrics: they can be answered where they are to be, and not to everybody. Mail needs none of it.
func (c *checker) metrics() {
	const key = "metrics.listen"
	m := &c.Config.Metrics
	if !m.On {
		return
	}
	switch at := m.Listen.Addr(); {
	case at.IsUnspecified():
		c.find(metricsOpen, key, fmt.Sprintf("%s is every address of this host: whoever reaches it sees the names of tenants and how much they send", m.Listen), "")
	case c.links != nil && !at.IsLoopback() && !c.has(at):
		c.find(metricsAbsent, key, fmt.Sprintf("%s is not an address of this host", at), "")
	}
	if c.Host.Serving || c.serving() {
		return // it is kanmon's own, or its log says who has it
	}
	sockets := c.Host.sockets()
	if i := slices.IndexFunc(sockets, func(s socket) bool { return s.collides(m.Listen) }); i >= 0 {
		who := cmp.Or(host.Holder(c.Host.proc(""), sockets[i].inode), "something else")
		c.find(metricsTaken, key, fmt.Sprintf("%s listens on %s, where metrics are to be answered", who, sockets[i].at), fmt.Sprintf("ss -ltnp 'sport = :%d'", m.Listen.Port()))
	}
}
