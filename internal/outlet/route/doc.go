// Package route decides which sending IP a mail leaves from: whose it is, which pool it gets, which address of the pool.
//
// A sending IP has a reputation of its own and a name in its PTR record, so mail must never leave from an address by accident. Whatever
// cannot be sent from a configured sending IP is not sent: without one of the destination's family there is no choice. With no sending IP
// configured at all, the kernel chooses (observe mode).
//
// Routes, tenants and pools say which sending IPs a mail may leave from. Within a pool the choice is rendezvous hashing
// on who sends (tenant and sender domain, or the MSA's address) and where to (provider, or the MX's address): a mail
// that is tried again leaves from the same address, across restarts and across gateways with the same pools, and an
// edit of a pool moves only what its address was removed for or what a new one takes over.
//
// Normal use:
//
//  1. [NewRouter] with pools, tenants and routes.
//  2. [Router.Owner] says whose a mail is, [Router.Choose] where it leaves from, [Router.Explain] also why, [Router.NeedsProvider] whether
//     it is worth waiting for DNS.
//  3. A [Forecast] guesses the sender that is not known yet. An [Absence] knows which sending IPs this host does not have.
package route
