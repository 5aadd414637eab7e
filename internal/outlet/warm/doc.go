// Package warm tells how far along a new sending IP is, and what it may take today. docs/howto/warm-up.md is its page.
// It is pure but for the [Store]: time comes from a clock, mail from its caller.
//
//  1. [New], and [Book.Configure] with the IPs that have a plan, again at each reload.
//  2. [Book.Room] before a mail is sent to an IP, [Book.Take] where it leaves; the [Ticket] is told what became of it: [Ticket.Accepted],
//     [Ticket.Refused], [Ticket.Back]. An IP without a plan costs one atomic load.
//  3. [Book.Throttled] and [Book.Found] tell what was said of the IP, and a [Voice] by whom: a provider speaks for its class, of witnesses it takes two.
//  4. [Book.Close] writes what has not been written.
//
// # What is kept
//
// Where an IP is in its plan is state, and no function of the date: a day that did not go well is repeated, and who
// shares an IP can share its step. Of each class of destinations, that is each provider with a name and [Others], it is
// known how much of today's amount is taken, how many mails of the step met an answer about our IP or were accepted,
// and by how many steps the class is behind the IP.
//
// # A day's end
//
// At midnight (UTC) the step is judged (gate.go):
//
//	a finding about the IP as a whole, or a named provider has suspended it    the step is repeated
//	fewer than 20 mails in it                                                   it goes on, with what it has; its shares double
//	fewer than 90 % of them accepted                                            the step is repeated
//	else                                                                        the next step; a class that had a finding of its own, or fewer
//	                                                                            than 90 % accepted, repeats its own
//
// Behind the last step of all classes the IP is warm. After thirty days without mail it warms again; of an IP whose
// state is lost, or that was without a plan for a time, nobody knows that it was idle, and it goes on by its start
// date.
package warm
