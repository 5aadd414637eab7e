// Package calm keeps true what the Makefile says of the packages that it tests without the race detector.
//
// The race detector makes a test as slow as ten, and shows something only where goroutines meet. The packages of CALM begin none: they are tables, texts and
// simulations, or memories behind one lock that their callers share. So their tests run without it, and with it those of ATONCE, which are all that
// call such a package from many goroutines in real time. What a package of CALM must not do is begin a goroutine; then it belongs to the others.
package calm
