// Package tally says what history comes to: what came of mail over time, how long phases took, of a provider, a sending IP, a tenant, an
// account. It asks a [history.Store] and prints nothing: a page draws it, a command writes it.
//
// Begin at [Over], what came of mail in steps of time with the gaps in the record, and at [OfProvider], what one asks when mail to somebody
// is late.
package tally
