// Package postgres keeps history in a PostgreSQL server, that of several gateways in one database.
//
//  1. [Open] needs no server: each call connects, and makes or changes the tables where that is due (migrate.go).
//  2. [Store.Add] has lines copied to a staging table of the connection, takes the lock of who writes, sorts out what has been written before, joins the
//     attempts to mails, and writes all of it with the mark in one transaction (add.go). So a line counts once, whatever dies: where the answer to COMMIT is
//     lost, the lines come again and are known by (gateway, run, line).
//  3. Lines lie in a partition for each day and level (parts.go): [Store.Prune] drops those. Of what is kept longest there is little: it is deleted.
//
// Lines are found by terms, as package index makes them, in an index of each partition; roll-ups are rows that grow.
package postgres
