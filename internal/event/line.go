package event

import "time"

// A Mark says where a line of the session log came from and where it went. The five marks are those
// of the paper's Fig. 6.
type Mark uint8

// The marks. MarkNote is for lines that were not on any wire ("tls connected").
const (
	MarkNote      Mark = iota
	MarkToMSA          // <- sent to the MSA, possibly modified
	MarkToMX           // -> sent to the MX, possibly modified
	MarkFromMX         // |< came from the MX and ended at kanmon
	MarkMadeForMX      // |> made by kanmon for the MX
	MarkFromMSA        // >| came from the MSA and was held, or ended, at kanmon
)

// String returns the mark as the paper prints it; a note has none.
func (m Mark) String() string {
	return [...]string{"", "<-", "->", "|<", "|>", ">|"}[m]
}

// A Line is one line, or one whole multi-line reply (lines separated by '\n'), of the session log.
type Line struct {
	Mark  Mark
	Text  Span          // as it was on the wire, without the final CRLF: not sanitised
	At    time.Duration // since the session began
	First time.Duration // for a reply of the MX: command written → first octet of the reply
	Took  time.Duration // for a reply of the MX: command written → last octet of the reply
}
