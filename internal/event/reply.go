package event

import "time"

// A Reply is a reply of the MX (or, if Local, of kanmon) with its times.
type Reply struct {
	Code     int  // 0: no reply came
	Local    bool // made by kanmon, not by the MX
	Softened bool // the MSA was given a 4xx in its place
	Text     Span // whole reply with its codes, lines separated by '\n': not sanitised
	First    time.Duration
	Took     time.Duration
}

// class is the first digit of what the MSA was told.
func (r *Reply) class() int {
	if r.Softened {
		return 4
	}
	return r.Code / 100
}

// An Opening is the MX's reply to a step of opening its leg: banner, EHLO, STARTTLS, EHLO after TLS.
type Opening struct {
	Phase Phase
	Reply Reply
}
