// Package explain says in words what kanmon answers about senders: commands and pages tell the same. Times are in this host's zone.
//
// Normal use: [Sender] for how a tenant or an account is treated and why; the others for a part of it each.
package explain
