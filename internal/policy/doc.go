// Package policy decides who may send, and how much: whose a mail is, what the limits say, how far a sender who misbehaves
// is contained, and what an operator has said. It joins [limit] and [contain] and answers a session at its [session.Gate].
//
// Normal use:
//
//  1. [New] with [Settings] made from the configuration, and a [Store] that keeps what must survive a restart.
//  2. The Policy is the gate of the sessions. [Policy.Configure] exchanges the settings at a reload.
//  3. Operators use [Policy.Block], [Policy.SetLimit] and their like; all that they change is in the audit.
//  4. [Policy.Close] writes what has not been written.
//
// # Whose a mail is
//
// The tenant is found by who calls [Settings.Identify]: by the MSA's address first, and behind a shared one by the domain of
// the envelope sender. The account is the envelope sender, in the one form of package mailbox and folded; where the tenant's MSA
// names the account in a header, it is that, in the same form. Where a forwarder is marked, strangers' mail has one account.
//
// # When what is counted
//
//	connect  sessions and new connections of the tenant, if the MSA's address tells it
//	MAIL     the same, of the tenant that the sender tells; messages and announced octets of tenant, account, tenant × provider
//	leave    messages and octets of the sending IP × provider, once that IP is known
//	RCPT     recipients of all of them
//	the end  what passed. A mail that the MX did not take is given back, but for its recipients' outcomes
//
// Reading order:
//
//	policy.go   Policy, Settings: what is decided by
//	pass.go     a session's way through the gate: asked
//	told.go     and told, what came of it
//	mail.go     what it has of the mail at hand
//	delay.go    and of a command that is held back
//	berth.go    what it has of a sending IP
//	named.go    which account it is
//	kinds.go    lists and forwarders: which account its evidence is
//	retries.go  which mail was put off before
//	limits.go   which limits apply, and what they are asked for
//	late.go     what they are asked for when more of a mail is known behind MAIL
//	attempts.go what MXs may be asked, whatever becomes of it
//	refuse.go   what is done where a limit is reached, and what is said of it
//	amounts.go  limits as a person has set them
//	contain.go  what is done about a sender that is contained
//	suspicion.go how much speaks against its mail
//	hand.go     what operators do
//	save.go     over a restart
package policy
