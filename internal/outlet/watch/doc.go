// Package watch looks at the sending IPs as receivers see them: whether public lists have them, and whether their names in the DNS agree.
// It asks on a schedule, whatever mail there is, and tells when something has changed; what follows of that, others decide.
//
// Normal use:
//
//  1. [New] with who is told, and a store: what was seen outlives the process, so that a restart tells nothing twice.
//  2. [Watch.Configure] with the sending IPs and the lists; again at each change. Without lists and names nobody is asked.
//  3. [Watch.Seen] and [Watch.Counts] whenever somebody wants to know.
//  4. [Watch.Close].
//
// A list is asked by a goroutine of its own, an IP at a time, spread over the whole interval: nobody's resolver and no list sees a burst, and
// one that hangs holds up no other. Whether a list can be believed is asked first, each time (RFC 5782 §5).
//
// Reading order: watch.go (what was seen, and who is told), lists.go, names.go, resolver.go, kept.go (the store).
package watch
