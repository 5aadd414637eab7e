// Package trust says what an MX must prove before a recipient is named to it: what the recipient's domain asks by DANE (RFC 7671, 7672) or
// by MTA-STS (RFC 8461), or what the operator says about the MX. It implements [session.Trust].
//
//  1. [New] makes a [Trust] of a configuration, with a [Memory] that outlives it.
//  2. [Trust.Need] gives what a domain asks, at once if it is known, and else begins to ask.
//  3. Its Judge says whether a leg is what is asked: a pure function of the leg, of what was known, and of now.
//  4. [Trust.Explain] shows people each step of it.
//
// # The model
//
// The peer proves a name; no name is derived from its address. The candidates are the names of the domain's MX records. The address that
// was dialled only says which of them to try first. A chain of certificates is good if it proves one candidate that the policy allows.
//
//	DANE, first:  a chain that is in the TLSA records of any candidate is good. Else the strictest of the candidates at this address
//	              decides; an address that is no candidate's is good only if no candidate has TLSA records, or may have some.
//	MTA-STS:      TLS 1.2, and a chain to a public root, now, for a candidate that the policy allows. It is asked only where DANE asks
//	              nothing, or nothing more than encryption.
//
// What nobody knows is another thing than nothing. A failed look-up of DANE refuses (RFC 7672 section 2.1.2), a failed look-up of MTA-STS does not,
// if no policy is kept (RFC 8461 section 3.3): kanmon trusts on first use there.
//
// Nothing is remembered as proved. A [Memory] has the names that were proved at an address, as a hint for the next handshake, and no more.
//
// Reading order: trust.go (who is asked), need.go (when), lookup.go and known.go (what is asked), judge.go, dane.go, chain.go (what is proved),
// say.go (what is told), memory.go, explain.go.
package trust
