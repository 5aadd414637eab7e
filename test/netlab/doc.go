// Package netlab builds small internets on one Linux machine, for tests and the demo: hosts with their own network
// namespace, wired with veth pairs and bridges, running real Postfix, dnsmasq, nft and kanmon.
//
// Nothing of it is on the host itself. [Isolate] runs the calling program once more in a process, network and mount
// namespace of its own, where it is process 1, and everything else happens in there. When that process ends, by itself,
// by a panic, by Ctrl-C or by SIGKILL, the kernel ends all that it started and removes every interface, address,
// firewall rule and mount. The one thing on the host is a temporary folder; the next run removes those that a killed
// run left behind.
//
// Normal use:
//
//  1. First thing in main or TestMain: code, done := netlab.Isolate(); if done, exit with code.
//  2. lab, err := netlab.New("name"); defer lab.Close().
//  3. out, err := netlab.NewOutbound(lab, ...) for the usual world (tenants, a gateway, the Internet with its DNS, MXs),
//     or lab.Host and lab.Link for another one.
//  4. netlab.NewPostfix, netlab.NewKanmon and a SlowMX on those hosts.
//  5. Submit mail, wait for the MSA's log to tell what became of it, read what the MX stored.
//
// Addresses are those for documentation (RFC 5737, RFC 3849) and private ones. Names end in .example.
package netlab
