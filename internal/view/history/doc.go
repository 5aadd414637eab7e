// Package history keeps what has happened to mail, for weeks and months, and answers what people ask of it. It runs in a process of
// its own: whatever becomes of it, mail does not notice.
//
// What it keeps comes from the JSON lines alone (docs/ref/record.md), so it can be made anew from them at any time. A line is known by
// (gateway, run, line): one that comes twice is kept once, and counts once.
package history
