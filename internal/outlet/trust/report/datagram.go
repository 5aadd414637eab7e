package report

import (
	"encoding/json"
	"strings"

	"kanmon/internal/event"
)

// Codes of libtlsrpt (tlsrpt.h), version 1 of the protocol.
const (
	protocol = "1"

	policyTLSA = 1
	policySTS  = 2
	policyNone = 9

	success = 0
	failure = 1
)

// codes are those of failures.
var codes = map[event.TrustReason]int{
	event.NoStartTLS: 201, event.HostMismatch: 202, event.NotTrusted: 203, event.Expired: 204, event.ValidationFailure: 205, event.NotInPolicy: 205,
	event.TooOld: 205, event.FetchError: 301, event.PolicyInvalid: 302, event.WebPKIInvalid: 303, event.TLSAInvalid: 304, event.DNSSECInvalid: 305,
	event.DANERequired: 306,
}

// A datagram is what a collector reads. What is absent is left out.
type datagram struct {
	Protocol string   `json:"dpv"`
	Domain   string   `json:"d"`
	Record   string   `json:"pr"`
	Policies []policy `json:"policies"`
}

type policy struct {
	Type     int      `json:"policy-type"`
	Domain   string   `json:"policy-domain"`
	Lines    []string `json:"policy-string,omitempty"`
	Hosts    []string `json:"mx-host,omitempty"`
	Failures []failed `json:"failure-details,omitempty"`
	Times    int      `json:"t"` // how many failures there were
	Result   int      `json:"f"`
}

type failed struct {
	Code   int    `json:"c"`
	From   string `json:"s,omitempty"` // our address
	Name   string `json:"n,omitempty"` // of the MX
	Hello  string `json:"h,omitempty"` // what it calls itself
	To     string `json:"r,omitempty"` // its address
	More   string `json:"a,omitempty"`
	Reason string `json:"f,omitempty"`
}

// mostText bounds what strangers have said in a datagram: a socket takes no more than some 200 KiB at once.
const mostText = 200

// encode writes a datagram.
func (t *told) encode(record string, lines, hosts []string) ([]byte, error) {
	p := policy{Type: t.policy, Domain: t.domain, Lines: lines, Hosts: hosts, Result: success}
	if t.base != "" {
		p.Domain = t.base
	}
	if t.why != event.TrustWhyNot {
		p.Times, p.Result = 1, failure
		f := failed{Code: codes[t.why], From: t.from, Name: t.name, Hello: t.hello, To: t.to, More: t.detail}
		if t.why != event.ValidationFailure && codes[t.why] == codes[event.ValidationFailure] {
			f.Reason = t.why.String() // the standard has no word of its own for it
		}
		p.Failures = []failed{f}
	}
	return json.Marshal(&datagram{Protocol: protocol, Domain: t.domain, Record: record, Policies: []policy{p}})
}

// isRecord reports whether a TXT record asks for reports (RFC 8460 section 3). Where several do none counts.
func recordOf(texts []string) (record string, wants bool) {
	for _, text := range texts {
		version, rest, _ := strings.Cut(text, ";")
		if strings.TrimRight(version, " \t") != "v=TLSRPTv1" {
			continue
		}
		if wants {
			return "", false
		}
		record, wants = text, strings.Contains(rest, "rua=")
	}
	return record, wants
}
