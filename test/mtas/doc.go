// Command mtas measures how long real mail software needs to reach the next address where the first one is dead: the second MX of
// a domain, the other address of an MX, the other address family. Each program is measured directly and through kanmon.
//
// A world is a small internet (see package netlab) with one program in it and, on the gateway, kanmon or nothing. Every mail goes to a
// domain of its own, whose first address is dead in the way that its case says, so that no program remembers anything of another
// mail. The MX that works is netlab's sink; a mail's time is from the begin of its submission until the sink has it whole. Counters
// on the dead host tell whether its address was tried at all: who shuffles addresses may begin with the one that works.
//
// Programs that find MXs themselves get an address of the domain. Those that are told a host get the MX's name, and have no
// second MX to go to.
//
// Normal use, as root on Debian or Ubuntu:
//
//  1. test/setup/install.sh mtas, once; what cannot be had is named, and nothing is measured
//  2. go run ./test/mtas -out mtas.md (-only exim,courier: these alone)
//
// The programs run as their packages configure them. programs.go says what is set besides.
package main
