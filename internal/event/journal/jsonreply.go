package journal

import "kanmon/internal/event"

// reply appends a reply; one that was never waited for is left out.
func (o *object) reply(name string, p *event.Reply) {
	var m event.Meaning
	if o.t != nil {
		m = o.t.Meaning(p)
	}
	o.replyMeant(name, p, &m)
}

// replyMeant is reply where it is known what it was taken for; the zero Meaning where it is not.
func (o *object) replyMeant(name string, p *event.Reply, m *event.Meaning) {
	if *p == (event.Reply{}) {
		return
	}
	text := o.r.Text(p.Text)
	o.open(name, '{')
	o.integer("code", int64(p.Code))
	if e := enhancedCode(text); e != nil {
		o.open("enhanced", '"')
		o.dst = append(o.dst, e...)
		o.dst = append(o.dst, '"')
	}
	o.open("text", 0)
	shown, left := o.f.guard.text(text, kindReply, p.Text.Cut() > 0)
	o.dst = o.f.appendJSON(o.dst, shown, left+p.Text.Cut())
	o.boolean("local", p.Local)
	if p.Softened {
		o.boolean("softened", true)
	}
	o.meaning(m)
	if p.First > 0 {
		o.milliseconds("first_ms", p.First.Duration())
	}
	if p.Took > 0 {
		o.milliseconds("took_ms", p.Took.Duration())
	}
	if p.Pieces > 1 {
		o.integer("pieces", int64(p.Pieces))
	}
	o.dst = append(o.dst, '}')
}

// meaning appends what a refusal was taken for, or which rule of ours refused.
func (o *object) meaning(m *event.Meaning) {
	o.own("class", m.Class.String())
	o.own("scope", m.Scope.String())
	o.own("rule", m.Rule)
	if len(m.Lists) == 0 {
		return
	}
	o.texts("lists", m.Lists)
}

// enhancedCode is the enhanced status code (RFC 2034 §4) of a reply, nil where it has none or one of another class than the
// reply's: then the code counts and the enhanced code is noise.
func enhancedCode(reply []byte) []byte {
	const prefix = len("250 ")
	if len(reply) <= prefix || reply[0] != reply[prefix] || reply[0] != '2' && reply[0] != '4' && reply[0] != '5' {
		return nil
	}
	n, ok := enhancedLength(reply[prefix:])
	if !ok {
		return nil
	}
	return reply[prefix : prefix+n]
}

// enhancedLength measures class.subject.detail (RFC 3463 §2) at the beginning of text, ended by a blank or the line.
func enhancedLength(text []byte) (n int, ok bool) {
	if len(text) < len("2.0.0") || text[0] < '2' || text[0] > '5' {
		return 0, false
	}
	n = 1
	for range 2 {
		if n >= len(text) || text[n] != '.' {
			return 0, false
		}
		n++
		digits := 0
		for n < len(text) && text[n] >= '0' && text[n] <= '9' {
			n++
			digits++
		}
		if digits == 0 || digits > 3 {
			return 0, false
		}
	}
	return n, n == len(text) || text[n] == ' ' || text[n] == '\n'
}
