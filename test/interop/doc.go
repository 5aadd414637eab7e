// Package interop runs other projects' SMTP test suites twice, unmodified: with client and server talking directly,
// and with kanmon between them. Every verdict must be the same, but for those listed in differences.txt with the RFC
// section that makes the difference right.
//
// The suites open servers on random ports of 127.0.0.1 and connect to them from the same process, so the way through
// kanmon is made with two network namespaces and address translation (see [Rig]): no suite and no part of kanmon
// knows about it.
//
//  1. [NewRig] makes the namespaces; [Rig.Through] puts a program between client and server, [Rig.Direct] takes it out.
//  2. [Suite.Build] prepares a suite once, [Suite.Run] runs it in the rig and gives its verdicts.
//  3. [Compare] holds two runs against the written differences.
//
// mhale-smtpd tests its server over in-memory connections only: nothing of it passes through kanmon, and its verdicts say no
// more than that the rig leaves it alone.
//
// It is a module of its own, so that nothing that kanmon ships depends on the suites. It needs root, iproute2, nft and
// a private copy of Python's test package, which fetch.sh sees to.
package interop
