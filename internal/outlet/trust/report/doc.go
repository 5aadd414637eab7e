// Package report tells a collector what came of the TLS with MXs, so that the recipients' domains get their reports (TLS-RPT, RFC 8460).
//
//  1. [New] makes a [Reporter]: [Reporter.Hear] subscribes to what sessions tell.
//  2. Of each connection and each domain on it one datagram goes to a Unix socket, in the form of libtlsrpt: whoever reads there, such as
//     tlsrpt-collectd, adds up and reports.
//
// Nobody waits for it: what cannot be told at once is counted. A domain that wants no reports, which its TXT record at _smtp._tls says, is told
// of to nobody; nor is what was our own fault, what the operator has decided, or what nobody knows.
//
// Reading order: reporter.go (what is told, and of whom), datagram.go (its form).
package report
