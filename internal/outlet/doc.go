// Package outlet decides whence a mail leaves, and learns from what MXs say to it. It joins pools and routes, the
// provider of an MX, classification and standing into what sessions ask for: their [session.Ways]. It is to the sending
// IP what package policy is to the sender.
//
// Normal use:
//
//  1. [OpenState] once a process: what is known of sending IPs and destinations, whatever the configuration. [State.Watch] says which
//     sending IPs there are to be, and which of them this host has.
//  2. [New] for each configuration. Sessions keep the outlet that they began with.
//  3. A session has one way out (way.go), from [Outlet.Enter] to its Close. It dials by it, asks it at MAIL and at the first RCPT whether the
//     mail may stay, and about each refusal what is to be done, and tells it of each message.
//  4. [Outlet.Close] behind the last session of a configuration, [State.Close] behind the last outlet.
//
// In which order the sending IPs of a pool are tried: the one that a mail was told to come back from (pins.go), the one
// that its sender is likely to have (outlet.go, foresee), and then as the pool has it; behind these those that have
// lately refused other mail of the tenant (earned.go, turnedAway), those that the MX does not let connect (dials.go),
// and those that it has refused in this session. None that is suspended there, but for one session at a time that
// probes it (probes.go, probing.go); one that is slowed has its share (outlet.go, inShare).
//
// What a session is told of a mail's sending IP again and again is remembered (usual.go).
//
// What is done about a refusal: place.go says whose word it is, earned.go whether another sending IP is spent on the mail, rescues.go how
// often, dialing.go what an MX says that does not even speak.
package outlet
