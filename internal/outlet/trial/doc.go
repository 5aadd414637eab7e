// Package trial asks an MX, by a person's order, how it answers each sending IP, and sends no mail: the dialogue goes as far as RCPT, and ends
// in RSET and QUIT.
//
// Normal use:
//
//  1. [Target] says whether an address may be asked at all: where mail could go to, and nowhere else.
//  2. [Desk.Begin] says whether it is time for one more try there; what it gives is called at the end of the try.
//  3. [Caller.Call] for each sending IP, which tells of each step as it comes.
//
// What is heard is evidence of nothing: a person's try is nobody's mail. So this package knows neither standings nor what outlets learn.
package trial
