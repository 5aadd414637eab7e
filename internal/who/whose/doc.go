// Package whose tells whose a mail is. All who ask hear the same: the gate, the choice of the sending IP, the judge of
// refusals, the operator (docs/engine.md, I11). So a session asks once when it begins, once at each MAIL, and hands the
// answer on.
//
// The listener is trusted most, and then the MSA's address; the sender's domain decides only among those behind it. Where there are no
// tenants each MSA is one, by its address.
//
// Normal use:
//
//  1. [New] with the tenants of a configuration.
//  2. [Tenants.Find] for a session, whose sender is not known yet, and at MAIL, unless the first answer is [Owner.Final].
//  3. [Tenants.Behind] for a session of which no sender will be seen.
package whose
