// Package smtp is the wire grammar of SMTP as a relay in the middle needs it: it knows octets, no policy.
// RFC 5321 (SMTP), RFC 2034 and RFC 3463 (enhanced codes), RFC 2920 (pipelining).
//
// net/textproto is not used: it takes LF.LF and CRLF.LF as end of data and reads reply texts loosely,
// and both are how mail is smuggled.
//
// Normal use:
//
//  1. [NewReader] on each leg. A Reader borrows its buffer from a pool and gives it back before it blocks, so a
//     session that waits costs little.
//  2. [Reader.Command] on the MSA's side, [Reader.Reply] on the MX's side.
//  3. After 354, [Body.Scan] over [Reader.Buffered] finds the one true end of data.
//  4. What is safe of it goes through a [HeaderFilter], if a field of the message's header is to be seen or left out.
package smtp
