// Package mailbox answers one question: which person's mailbox is this?
//
// An address can be written in many ways that an MX reads as the same mailbox. Whoever blocks, limits, routes or judges by a sender
// must see the same one in all of them, or a spelling is a way around. So each address is brought into one normal form where it
// enters kanmon, and everything behind that compares strings. What goes to the MX is never changed.
//
// # The normal form
//
//	""              the null sender, however it is written: <>, < >, <@relay.example:>, <"">
//	Unreadable      what cannot be brought into the form; no mailbox equals it
//	local@domain    everything else; a local part alone where there is no domain
//
// Letters are small, in the local part, too, and characters of Unicode composed (NFC). A source route, comments, and blanks around
// the parts are left out (RFC 5321 §4.1.2, RFC 5322 §3.2.2). A local part has quotes only if it needs them. A domain is in
// A-labels (RFC 5890), without a dot at its end; an address literal is as [netip.Addr] writes it, IPv4 in IPv6 as IPv4.
//
// Form never guesses. Where MXs read a text differently, it is Unreadable: somebody's else it is never.
//
// # The account
//
// [Fold.Account] takes the tags out of a mailbox that software puts in: BATV, VERP, SRS and subaddresses. What remains is the
// account, and it is folded no further: the account of an account is itself. docs/ref/accounts.md is the table of what folds.
//
// Reading order:
//
//	form.go    Form
//	parse.go   the grammar of a path
//	domain.go  Domain, Pattern, Domains
//	fold.go    Fold, Account
//	tags.go    what a tag looks like
//	named.go   Named: an account as a header field or a person writes it
package mailbox
