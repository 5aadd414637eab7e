package days

// A kind is a line's type. Those above outside are kept longest, but for judged.
type kind = int64

const (
	transactions kind = iota + 1
	sessions
	refusals
	decisions
	waits
	outside // and those behind it

	judged = outside + 7 // of a mail, and not kept longest
)

var kinds = map[string]kind{
	"transaction": transactions, "session": sessions, "refusal": refusals, "decision": decisions, "wait": waits,
	"gateway": outside, "heartbeat": outside + 1, "order": outside + 2, "changed": outside + 3, "finding": outside + 4, "dropped": outside + 5,
	"sighting": outside + 6, "judged": judged,
}

const unknown kind = 60 // a type that a later kanmon writes

func kindOf(name string) kind {
	if k, ok := kinds[name]; ok {
		return k
	}
	return unknown
}
