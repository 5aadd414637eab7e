// Package share divides what there is only so much of among those who want it: places, and room in a memory. Strangers decide how much is
// wanted, so everything that they can make kanmon hold is bounded, and each owner, a tenant or a network, has a part.
//
// There is one rule. Who has as much as is free gets no more, so that there is always something left for the next one, however many there
// are, and nothing lies idle for those who never come (dynamic thresholds, Choudhury and Hahne, 1998). One owner alone gets half; a second
// one who is as greedy a quarter.
//
//  1. [Places] are taken and given back: sessions, lookups. Above the part there is no place.
//  2. A [Map] remembers. Above the part an owner makes room by what he has not used for longest.
//
// Neither is safe for concurrent use: they lie inside of what has a lock.
package share
