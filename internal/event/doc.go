// Package event has the words of what happened: what sessions saw and did, in the terms in which it is told to whoever listens. It
// knows nobody, so that whoever reads it (a log, a count, a history) does not have to know the engine.
//
//  1. A session gathers a [Record]: [NewRecord], the record's own [Record.OwnTransaction] and [Record.OwnEnd], texts by [Texts.Add].
//  2. It hands the record over when a transaction has ended, when the session has, and ahead of a long wait.
//  3. Whoever has it reads texts by [Record.Text], and gives it back by [Record.Release]. Texts are strangers' octets: they are not
//     sanitised.
//
// A [Stream] has it go to all who listen: subscribers, who hear of facts at once, and what writes it down. [News] is
// what happened beside the mail. A [Reader] reads the JSON lines that were written.
//
// A [Phase] is where in a session something was waited for, a [Step] where somebody was asked whether a mail may pass.
// docs/ref/record.md says how all of this is written.
package event
