// Package keep is a memory that outlives the process and does not grow: what kanmon has learnt of destinations, and what costs mail a
// detour once it is forgotten.
//
// An entry has a key, a value and an owner, who made kanmon learn it: a tenant. It is forgotten when it has not been put for
// Options.Life, or when room is needed. Strangers decide what is put, so nobody may fill the memory: package share says what an owner's
// part is.
//
// Normal use:
//
//  1. [NewTable] on an open file (package store), if entries are to survive; [New] reads what it has.
//  2. [Memory.Get], [Memory.Put] or [Memory.PutOf], [Memory.Drop]: none waits for the disk, and Get does not allocate.
//  3. [Memory.Close] writes what has not been written; then close the file.
//
// What waits for a store that takes nothing is bounded, however much is put meanwhile.
//
// What is lost with a killed process is what was put in its last second. A row that makes no sense is left out and counted: this is
// no memory that anything false or unsafe follows from.
package keep
