// Package store is SQLite, once, for all that outlives the process: how a file is opened, brought up to date, written,
// copied and looked at. What the tables are, and what their rows mean, is the part's whose they are.
//
//  1. [Lock] makes the file this process's own. Two parts may share a file; two processes may not.
//  2. [Open] with the part's [Schema] makes or checks the file, and brings the part's tables up to date.
//  3. [File.Within] does all of something or nothing; what it returns is on the disk. Reading is that of database/sql.
//  4. Close it, and then what [Lock] gave.
//
// Who only looks does without 1 and 2: [Read], [Copy], [Check] and [Versions] while somebody else writes, [Peek] where nobody does.
//
// # How a file is used
//
// A handle has one connection: who writes waits for whoever else writes through it, and so for one transaction. Write in batches that are
// short, and what people wait for goes between two of them. WAL: a reader in another process, a backup, holds up nobody. Synchronous FULL:
// what was said to be written survives a loss of power. Another process that has the file locked costs the time that was given to Open, and
// then [ErrBusy].
//
// # Migrations: expand now, contract a release later
//
// A part's version is the number of [Schema] steps that its tables have been through. A step that has been released is
// never changed. It only adds: tables, columns, indexes, and copies of what is there in their form. What nobody reads
// from then on stays as it is until a later release, whose step removes it. For two reasons: a step that turns out to
// be wrong has lost nothing, the file still has what it was made from; and what a step does at a start, while mail
// waits, is a copy and no rewriting of the file. All steps that are missing are one transaction: a kill in the middle
// of them leaves the file as it was.
//
// A file of a newer version is refused ([ErrNewer]), and not touched: an older program would write what the newer one
// no longer reads. For the way back a copy from before the upgrade is beside the file, if the program that upgraded it
// could make one (package daemon).
//
// # A damaged file
//
// Open looks through the whole file (PRAGMA quick_check) and returns [ErrDamaged] where its structure is not whole; it repairs nothing and
// throws nothing away, since whoever begins with half a memory lets blocked senders send. People decide: a backup, or without. A file of 0 octets
// was emptied: [Lock] and [Open] give a file its name when there is a database in it. What is found damaged later is an error of the call that
// meets it; what runs goes on in memory.
package store
