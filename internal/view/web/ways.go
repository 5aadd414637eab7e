package web

import "net/netip"

// Ways are what the configuration says of whence mail may leave, and kanmon does not answer.
type Ways struct {
	IPs        []SendingIP
	Thresholds Thresholds
}

// A SendingIP is one that mail may leave from.
type SendingIP struct {
	Address netip.Addr
	EHLO    string
	Pools   []string
}

// Thresholds are how many must say the same of a sending IP before it is suspended.
type Thresholds struct {
	ListedReplies, ListedDestinations, RefusedTenants, RefusedDestinations int
}

func (s *Server) ways() Ways {
	if s.Ways == nil {
		return Ways{}
	}
	return s.Ways()
}
