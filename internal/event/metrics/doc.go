// Package metrics counts what happens, for Prometheus. docs/ref/metrics.md is its page.
//
//  1. [New] makes the registry, with every combination that is known ahead at 0.
//  2. [Metrics.Configure] says which sending IPs, providers and tenants have a name of their own; each reload says it anew.
//  3. [Metrics.Hear] subscribes to an [event.Stream]. It counts on the goroutine of whoever tells, so that no count stands behind a
//     queue that loses; it does not wait, and for a message it allocates nothing.
//     What counts for the first time is counted a moment later, by a goroutine of its own.
//  4. What stands, and does not happen, is asked of a [State] when somebody scrapes.
//  5. A [Server] listens, and tries again where it cannot.
//
// The values of every label are bounded, and are words of kanmon's or of its configuration: no address of mail, no domain, no account, no
// MX, no text of a stranger. What is beyond a bound is counted as "other". A name that has counted once keeps its place until the process
// ends, also where a reload has taken it out of the configuration: a counter that goes back to 0 looks like a restart.
//
// Reading order, which is call order:
//
//	metrics.go    Metrics: New, Configure; what there is
//	families.go   every name, its labels and what it means
//	names.go      the values of a label, and their bound
//	hear.go       from facts to counts: news, mail
//	end.go        what a session's end tells: connections, their opening
//	trust.go      what recipients' domains ask of TLS, and what came of it
//	cells.go      the counters of a place, made when they count first
//	aside.go      who makes them
//	histograms.go durations; how many native ones there may be
//	state.go      what stands, asked by a scrape
//	serve.go      the listener
package metrics
