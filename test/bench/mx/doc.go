// Package mx is the sink of the benchmark: an MX that counts messages and their octets, and throws them away, with as little work
// of its own as possible. It speaks ESMTP with PIPELINING, SIZE, 8BITMIME and ENHANCEDSTATUSCODES, and STARTTLS (RFC 3207) or
// TLS from the first octet where a listener says so. A listener can also be a tarpit that holds sessions, or drips its replies.
//
// Plain sessions are driven by event loops of bare system calls, TLS sessions take a goroutine each.
//
// Normal use:
//  1. Open the listeners with [Listen].
//  2. Run [Server.Serve].
//  3. Read [Server.Stats] at any time; [Server.Release] lets held sessions go on to their next message.
package mx
