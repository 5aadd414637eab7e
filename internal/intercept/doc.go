// Package intercept receives the connections that the firewall takes out of the MSAs' way to the MXs, and tells where each
// one was going. It runs on Linux, with IPv4 and IPv6, in one of two modes:
//
//   - redirect: an nftables NAT rule sends port 25 to the listener. The original destination is asked of conntrack with
//     getsockopt SO_ORIGINAL_DST. With kanmon down, the kernel refuses the connections.
//   - tproxy: an nftables tproxy rule and a policy route deliver the packets unchanged. The original destination is the
//     accepted socket's local address, and conntrack is not involved. With kanmon down, a reject rule in the forward chain
//     refuses the connections: without it, tproxy would let them pass to the MX directly.
//
// Three things are refused instead of handled: a connection that came to the listener itself, one whose destination is
// an address of this host, and one that kanmon opened itself and that came back to it (see [Loops]).
//
// Normal use:
//
//  1. Load the firewall rules: [Rules.Apply], or print [Rules.Text] for the operator to load.
//  2. Fill in a [Listener], and [Listener.Open] its addresses or [Listener.Adopt] sockets that systemd opened. One of a dedicated port is
//     told its interfaces by [Listener.SetWires].
//  3. [Listener.Serve], until [Listener.Close]. Connections already handed out go on.
//  4. [Rules.Remove] opens the direct way again.
//
// Give the Listener's [Loops] to the dialler as its guard.
//
// # Privileges
//
// A redirect listener needs none (on a port above 1023). A tproxy listener that kanmon opens needs CAP_NET_RAW or
// CAP_NET_ADMIN for IP_TRANSPARENT (ip(7)); one that systemd opened with Transparent=yes needs none. A dialler that marks
// its connections (SO_MARK) needs CAP_NET_RAW or CAP_NET_ADMIN; being excluded from the rules by user id needs none.
// Only [Rules.Apply] and [Rules.Remove] need CAP_NET_ADMIN, and they can run in a unit of their own.
package intercept
