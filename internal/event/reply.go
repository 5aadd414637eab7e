package event

import "time"

// A Reply is a reply of the MX (or, if Local, of kanmon) with its times.
type Reply struct {
	Code     int    // 0: no reply came
	Local    bool   // made by kanmon, not by the MX
	Softened bool   // the MSA was given a 4xx in its place
	Meaning  uint8  // of a transaction's reply: see Transaction.Meaning; 0: none
	Pieces   uint8  // that it came in; 255: so many or more; 0: it did not come from an MX
	Text     Span   // whole reply with its codes, lines separated by '\n': not sanitised
	Told     uint16 // code that the MSA was given; 0: none
	First    Micros // from the command to the first octet of the reply
	Took     Micros // and to the last one
}

// class is the first digit of what the MSA was told.
func (r *Reply) class() int {
	switch {
	case r.Told > 0: // perhaps something else in its place
		return int(r.Told) / 100
	case r.Softened:
		return 4
	default:
		return r.Code / 100
	}
}

// ours reports whether it is kanmon's doing what the MSA was told.
func (r *Reply) ours() bool { return r.Local || r.Softened || r.Told > 0 && int(r.Told) != r.Code }

// refuses reports whether an MX has refused, and the MSA was told so by a code of a class.
func (r *Reply) refuses(class int) bool { return r.Code >= 400 && !r.Local && r.class() == class }

// TellAhead notes that the MSA is given a reply of kanmon's own, which it may not have been yet.
func (r *Reply) TellAhead() {
	if r.Local && r.Told == 0 {
		r.Told = uint16(r.Code) //nolint:gosec // a code has three digits
	}
}

// An Opening is the MX's reply to a step of opening its leg: banner, EHLO, STARTTLS, EHLO after TLS.
type Opening struct {
	Phase   Phase
	Leg     uint16 // the connection that it came from
	Reply   Reply
	Meaning *Meaning // of a refusal; nil: nobody has said
}

// Micros is a time of a reply: a transaction of a thousand recipients keeps two of them for each. It is never more than 71 minutes.
type Micros uint32

// MicrosOf returns a time, rounded.
func MicrosOf(d time.Duration) Micros {
	return Micros(min(max(d.Round(time.Microsecond).Microseconds(), 0), 1<<32-1))
}

// Duration gives it back.
func (m Micros) Duration() time.Duration { return time.Duration(m) * time.Microsecond }
