// Package backup saves what a kanmon keeps, and puts it back: the databases of its state, its configuration, and the files that the
// configuration names. The journal is not in it: logs are moved away by logrotate.
//
// A backup is one tar file, packed by gzip, with a manifest in front: what was saved from where, whose it was, its
// checksum, which kanmon made it. kanmon may run meanwhile: a database is copied as it was at one moment, with all that
// was said to be written by then, and nobody who writes waits for it. To copy the file of a database is no backup: what
// was written last is in a file beside it (SQLite's WAL).
//
// Normal use:
//
//	manifest, err := backup.Write(ctx, w, backup.Set{…})
//	a, err := backup.Open(path)            // reads it once, and compares every checksum
//	result, err := a.Restore(ctx, backup.Target{…})
package backup
