// Package sts knows which MTA-STS policies (RFC 8461) recipient domains have: it asks for their TXT records, fetches policies by HTTPS and
// keeps them until they end, beyond the process. Whether an MX keeps to a policy is judged elsewhere (package trust).
//
//  1. [OpenSQLite], if policies are to survive the process; [New] reads what the file has.
//  2. [Keeper.Look] with the domain of a recipient. It never blocks: what is due is begun, and who wants to may wait for it.
//  3. [Keeper.Renew] before a recipient is refused because of a policy: its owner may have another one by now (RFC 8461 section 5.1).
//  4. [Keeper.List], [Keeper.Refresh] and [Keeper.Forget] are for people.
//  5. [Keeper.Close], and then the store.
//
// # What is asked, and when
//
// A domain that nothing is known of costs one TXT query, and where that has a valid record one HTTPS request: never one without. That a domain
// has no policy is known for as long as DNS says (30 s to 1 h). A policy that could not be fetched is not asked for again within five minutes
// while its record has the same id. A policy that is kept counts until its max_age is over, whatever becomes of record and host (RFC 8461
// section 3.3). Meanwhile the record is asked for again as mail comes, and another id has the policy fetched behind the mail.
// Policies of domains that mail went to in the last 30 days are fetched anew each day, or when three quarters of a shorter max_age are over, if
// the record is valid then: else that is tried again, at least once an hour, until it is or the policy ends.
// That is done in the part of whoever brought the policy, or of whoever has mail for the domain then.
//
// # What strangers can do
//
// Tenants choose the domains, and domains answer what they like. Lookups under way, fetches and what is remembered have bounds, and each
// tenant a part of them (package share). Policies that are to be enforced have places of their own: whoever has as many as are free gets no
// more, and none goes before its end because somebody else wants its place. All else, that a domain has no policy too, is in a memory in which
// whoever has most makes room.
//
// # Time
//
// Policies end by a clock that never goes back: the wall clock, or what has passed by the monotonic one since the latest time that was seen, in
// this process or one before it, whichever is later. So a clock that is set back prolongs no policy, and one that is set forward ends them.
package sts
