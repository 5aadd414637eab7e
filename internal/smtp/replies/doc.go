// Package replies is the catalogue of what kanmon itself says to an MSA: each reply with its codes, its text, and what
// it means for the mail, for the tenant's postmaster and for the operator. Nowhere else is a reply made up, so
// docs/ref/replies.md, which is written from the catalogue, lacks none.
//
// Normal use:
//
//	replies.NeedMail.Plain()                                 // a reply that is the same each time
//	replies.Lost.Say(mx, phase).As(451).Reply(host)          // one that is filled in, and says which gateway gave it
//
// What an MX says passes through kanmon and is not in here; neither is the list of extensions behind EHLO, which is made of the MX's own.
//
// A text is for people who may read it in a bounce five days later and know nothing of kanmon: it says what happened, what becomes of the
// mail, and what to do, without "we" and "here".
package replies
