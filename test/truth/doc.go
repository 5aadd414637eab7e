// Package truth compares what kanmon says of sessions with what happened. Random sessions go through a real engine with a journal of its
// own files, between an MSA and MXs that do as they like and log what they said and heard, to the octet, and when. Then each JSON line and
// each line of the session log must say just that.
//
// All is tests, in the virtual time of testing/synctest: what a session says of times is exact but for what kanmon itself computes.
//
//  1. A [plan] says, from a seed alone, what both ends of a session will do.
//  2. A [world] runs sessions side by side through one engine.
//  3. What the ends logged is brought into the form of [mail]s: what was said of each, by whom, and what came of it.
//  4. judge compares, one question a file.
//
// `make truth` runs ten thousand sessions, `make test` as many as half a minute allows. A failure names the seed; KANMON_TRUTH_SEED=n runs that one
// alone, and prints what both ends logged.
package truth
