// Package traffic is mail whose fate is known from both ends: an MSA and an MX as Go programs, scripted and fast, and a ledger that
// compares what the one was told with what the other took and with what kanmon has recorded.
//
// Normal use:
//
//  1. [MX.Serve] on a listener; its Behave makes it as unpleasant as the run needs, its Took tells a [Ledger].
//  2. [NewMail] makes a mail with a token of its own, which the MX finds in the body and names in its reply.
//  3. [Open] a session on a connection; [Session.Send] mails; tell the ledger what became of them.
//  4. [ReadRecords] of each file of records, which tells the ledger which copies are on record.
//  5. [Ledger.Audit].
package traffic
