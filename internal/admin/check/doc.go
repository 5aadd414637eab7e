// Package check answers one question: what would hurt this site? It compares a configuration with the host it is for, with the
// firewall, with systemd's unit and, if asked, with what the DNS says of the sending IPs.
//
// Normal use:
//
//   - [Run] makes all checks, for an operator. It sends no mail, changes nothing and needs no privilege; what it cannot see without one
//     it says to be not checked, never to be good.
//   - [Start] makes those that a starting kanmon makes, too: what it finds with [Kind.Refuses] is why kanmon does not start. Both have
//     their checks from one list, so that they cannot differ.
//   - [DNS.Run] asks the DNS.
//
// Every [Finding] is of a [Kind], which has a stable id; docs/ref/check.md is the table of all kinds, made from [Kinds].
package check
