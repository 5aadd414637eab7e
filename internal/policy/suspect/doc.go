// Package suspect says how much speaks against a mail before anybody has seen its content: a number from 0 to 1, with its parts.
//
//	S = 1 - (1 - min(0.79, 1 - Π(1-p_conduct))) · Π(1-p_evidence)
//
// Each part p has a ceiling, so none decides alone, and none makes another one smaller. It makes no difference in which order they come.
// What others have said of the account's mail is evidence: receivers, by containment for outcomes, and scanners. All else is conduct, and
// conduct alone comes to 0.79 at most, as volume alone never goes beyond slow (package contain): an odd hour, a new account and a burst
// are reasons to look closely, and none to send a mail away.
//
// What is not known is taken for innocent: a part is 0 until there is a past to compare with. The ceilings and what is enough for
// them are guesses until a report has measured them: docs/why/suspicion.md.
//
// The package reads no clock and asks nobody. What containment counts already, unknown recipients, recipients of the hour, levels and
// ages, it does not count again: whoever asks brings it, as [Known].
//
// # Memory
//
// An account costs 0.7 KiB at most. At most 100,000 accounts are known, of all tenants together, or ten for each tenant of the
// configuration if that is more; where there is no room, one of the tenant with most goes (package share), so a tenant with a million of
// them forgets its own. Whom an account has written to is kept for all in one blocked Bloom filter of 64 MiB, of which each half takes 15
// days in turn. It gives a false "known before" for about 1 % where it is full. A tenant that has put into it as much as is left for all
// puts in no more, and of its accounts new recipients are not judged until the next half.
//
// # Normal use
//
//  1. [New]; [Memory.Restore] with what [Memory.Saved] gave of each account.
//  2. [Memory.Ask] before MAIL, and again before the first RCPT.
//  3. [Memory.Began] and [Memory.Reached] with what MXs have accepted, [Memory.Scored] with what a scanner has come to.
//
// Reading order:
//
//	parts.go    the parts: ceilings, what is enough for each, and why; Judge
//	memory.go   Memory: Ask, Began, Reached, Scored
//	account.go  what is known of an account, and its hours
//	filter.go   whom accounts have written to
//	codec.go    what of an account outlives the process
package suspect
