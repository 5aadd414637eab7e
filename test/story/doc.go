// Package story makes up what gateways would have written in two weeks: much mail of which nothing is told, and more than fifty stories that
// go on at once, each with an answer to what people ask about it. The lines are written by what writes them in kanmon, replies are judged by what
// judges them there; so they cannot differ from real ones.
//
//  1. [Tell] gives the lines, in the order in which they were written; [Write] writes them into a file for each gateway.
//  2. Both give a [Ledger]: what has happened, from what was planned and not from what was written.
//
// The same [Options] give the same octets.
package story
