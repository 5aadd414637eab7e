// Package share divides what there is only so much of among those who want it: places, room in a memory, and time.
// Strangers decide how much is wanted, so everything that they can make kanmon hold is bounded, and each owner, a
// tenant or a network, has a part. Nobody has to know how many owners there are, and nothing lies idle for those who
// never come.
//
//  1. [Places] are taken and given back: sessions, lookups. Who has as much as is free gets no more, so that there is always one left for
//     the next (dynamic thresholds, Choudhury and Hahne, 1998). One owner alone gets half; a second one who is as greedy a quarter.
//  2. A [Map] remembers, and what is in it does not go by itself: what is free would be nothing, for whoever comes late. So it may be full.
//     Then, for each that comes, one goes: that which was not used for longest, of whoever has most. One owner alone has all. Of up to 64
//     owners none loses anything to the others as long as he has less than an equal part of all, and who comes late has that much at once.
//     Where they are more, and nobody has more than a 64th, that goes which nobody has used for longest: who makes himself a thousand owners
//     presses nobody below a 64th, nor what is in use out of it. A Map keeps its entries in an [Order], which others may have that forget
//     by further rules.
//  3. A [Party] is of owners who want the same thing: it is done in the part of whoever has a place.
//  4. A [Pace] slows down whoever has far more of the work done than others, while there is too much of it.
//
// None is safe for concurrent use: they lie inside of what has a lock.
package share
