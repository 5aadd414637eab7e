// Package find answers what people ask of history: where is this mail, what did they say, what does it mean, whose is it, what is to be done.
// What it finds are values, and sentences about them in the languages that there are; who shows them, on a terminal or a page, is somebody else.
//
// Normal use:
//
//  1. [Parse] makes a [Term] of what somebody has at hand: an address, an id, a whole bounce.
//  2. [Finder.Mails] finds the mails that are meant; [Finder.Detail] reads all that is kept of one.
//  3. [Tell] says it: [Told] has the state in one sentence, each attempt with its reply, its [Meaning] and [Advice], and what kanmon did.
//  4. [ForCustomer] and [ForPostmaster] write to others about it.
//
// Texts in what it returns are as strangers wrote them. Whoever shows them on a terminal, in HTML or in CSV ([Cell]) sees to that.
package find
