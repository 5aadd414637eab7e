// Package load is the source of mail of the benchmark: many SMTP sessions at once toward one MX, pipelined as Postfix does it
// (RFC 5321, RFC 2920), with as little work of its own as possible, so that what is measured is what lies between it and the MX.
//
// Plain sessions are driven by event loops of bare system calls: one write for a whole group of commands, one for a body with
// its dot. Sessions with STARTTLS (RFC 3207), which only the direct way needs, take a goroutine each.
//
// Normal use:
//  1. Fill a [Spec].
//  2. Call [Run]; it tells when the counted window opens and closes, so that others can read their clocks.
//  3. Compare [Result.Acked] with what the MX has counted: a difference is lost or doubled mail.
package load
