// Package classify says what an MX's reply means and whose it is: our sending IP's, its netblock's, the tenant's, the
// recipient's or the receiver's own. It is pure: text in, verdict out, no clock, no DNS, no state.
//
// A reply is written by a stranger. So what it names decides, never its number alone (RFC 5321 §4.2 leaves the text to the
// receiver, and receivers use 550 5.7.1 for everything), and a verdict against our IP needs that the reply quotes our IP or
// quotes none.
//
// Normal use:
//
//  1. Rules come from Builtin, or from Parse with an operator's file in front of the built-in ones. They are immutable.
//  2. Rules.Classify with the whole reply and what the session knows: phase, provider, the sending IP, and what it has said itself.
//  3. Verdict.Suspend says whether this reply is evidence against the sending IP. Yes still means: at this provider.
//
// How the text is read: letters become plain (fold.go); what the session has said is blanked (said.go); the rest becomes lower case
// words with addresses replaced (normal.go), in two readings, with the addresses it quotes and without (mention.go); one pass of an
// automaton over each finds all phrases of all rules (automaton.go); the first rule that holds decides (rule.go); the guard and
// the weight of the lists may only soften what it says (verdict.go). All of it takes time linear in the text, of which 2 KiB are read.
package classify
