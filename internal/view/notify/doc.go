// Package notify tells people what has happened without their looking: by webhook, by mail, and once a day in a summary.
//
// It lives where history is kept, and is fed with the same lines:
//
//  1. [Open] makes it of a configuration, a folder for its own state, and the history that it asks for what stands around an event.
//  2. [Notifier.Hear] takes lines before history does. Who is killed in between hears them again; what was heard is known by (gateway, run,
//     line), so nothing is told twice, and nothing is forgotten.
//  3. [Notifier.Run] tells, until it is stopped.
//
// What happens is a condition, which begins and ends (a sending IP is suspended), or a moment (an order). subject.go has the rule: of one subject
// people are told once in an hour, what happens meanwhile is counted in the next, and an end is told if its beginning was. hear.go and lines.go
// say which lines are what; watch.go finds what no single line says, by asking history; compose.go adds replies and the mail. What is to be told
// waits on the disk (outbox.go) for each channel: webhook.go, mail.go. text.go has the words.
package notify
