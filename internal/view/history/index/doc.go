// Package index says by what lines of the records are found, and which of them are of one mail, whatever keeps them.
//
//  1. [Terms] are what an attempt is found by; [Wanted] is what a filter wants of them, and [Meets] looks whether a line that was found is meant.
//  2. [Join] says of which mail an attempt is, and what is waited for behind it. Who keeps that is a [Ledger].
//  3. [Spans] say which lines of a run have come.
package index
