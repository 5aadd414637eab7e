package find

import (
	"cmp"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"kanmon/internal/event/journal"
	"kanmon/internal/view/history"
)

// A Bounce is what a returned mail tells, in whatever form somebody has pasted it: whole (RFC 3464), as the text that its reader sees, or
// a piece of it.
type Bounce struct {
	Recipients []string  // that it is about
	Sender     string    // of the mail that came back; "": not told
	IDs        []string  // that the mail may be known by: its Message-ID, the MSA's queue id
	Replies    []string  // what receivers said
	Code       int       // of the first of them; 0: none is told
	Status     string    // enhanced status code
	Action     string    // failed, delayed, relayed …
	RemoteMTA  string    // who said so
	Arrived    time.Time // when the MSA took the mail
	Written    time.Time // when the bounce was written, or the last attempt was made
	perhaps    []string  // recipients if there are no others: so a text names whom the mail, or the bounce, was for
}

var errNoBounce = errors.New("this is neither a bounce nor a list: no line of it names a recipient, an id or a reply; paste all of the bounce, or a list with one address or id a line")

// ofBounce makes a term of a bounce. Ids say more than an address, an address with a time more than one without.
func ofBounce(written string, shown journal.Mask) (Term, error) {
	b := ParseBounce(written)
	t := Term{Text: "bounce", Kind: KindBounce, Bounce: b}
	for _, plain := range b.IDs {
		id := plain
		if strings.Contains(id, "@") {
			id = shown.MessageID(id)
		}
		if id != "" {
			t.Any = append(t.Any, history.Filter{ID: id})
		}
		if id != plain {
			t.Plain = append(t.Plain, history.Filter{ID: plain})
		}
	}
	from, to := b.around()
	for _, r := range b.Recipients {
		f := history.Filter{Recipient: shown.Address(r), From: from, To: to}
		if shown.Mode == journal.AddressesDomain {
			t.Blind = true
			f.Recipient = r[strings.LastIndexByte(r, '@'):]
		}
		t.Any = append(t.Any, f)
		if !t.Blind && f.Recipient != r {
			f.Recipient = r
			t.Plain = append(t.Plain, f)
		}
	}
	if len(t.Any) == 0 {
		return t, errNoBounce
	}
	if len(b.Recipients) > 0 {
		t.Text = "bounce of mail to " + b.Recipients[0]
	}
	return t, nil
}

// around is when the attempts were that a bounce may be about.
func (b *Bounce) around() (from, to time.Time) {
	const day = 24 * time.Hour
	switch {
	case !b.Arrived.IsZero():
		from, to = b.Arrived.Add(-day), b.Arrived.Add(8*day)
	case !b.Written.IsZero():
		from = b.Written.Add(-8 * day)
	}
	if !b.Written.IsZero() {
		to = b.Written.Add(day)
	}
	return from, to
}

// ParseBounce reads whatever a bounce has.
func ParseBounce(written string) *Bounce {
	b := new(Bounce)
	own, bodies := parts(unquoted(readable(written)), 0)
	for _, p := range bodies {
		b.read(p)
	}
	if own != "" && len(b.Recipients) == 0 { // the header of the bounce itself
		b.recipient(field(own, "X-Failed-Recipients"))
	}
	if len(b.Recipients) == 0 {
		b.Recipients = b.perhaps
	}
	if b.Written.IsZero() {
		b.Written = date(field(own, "Date"))
	}
	if id := bareID(field(own, "In-Reply-To")); id != "" { // Exchange names the mail so
		b.id(id)
	}
	return b
}

// A part is one of a bounce, as text with its lines unfolded.
type part struct {
	lines    []string
	returned bool // it is the header of the mail that came back, or all of it
}

// read takes in one part.
func (b *Bounce) read(p part) {
	returned := p.returned
	for i, line := range p.lines {
		if name, value, is := headerField(line); is {
			if returned = returned || marksReturned(p.lines, i); b.field(name, value, returned) {
				continue
			}
		}
		b.words(line)
	}
}

// marksReturned reports whether a header begins in a text at hand: the mail that came back, as people paste it.
func marksReturned(lines []string, at int) bool {
	_, _, before := headerField(lines[max(at-1, 0)])
	name, _, _ := headerField(lines[at])
	return (at == 0 || !before) && (strings.EqualFold(name, "Return-Path") || strings.EqualFold(name, "Received"))
}

// field takes in a line of a header, or of a delivery status; false: it says nothing here.
func (b *Bounce) field(name, value string, returned bool) bool {
	_, typed, hasType := strings.Cut(value, ";")
	typed = strings.TrimSpace(typed)
	switch strings.ToLower(name) {
	case "final-recipient", "original-recipient", "x-actual-recipient":
		if hasType {
			b.recipient(typed)
		}
	case "x-failed-recipients":
		b.recipient(value)
	case "action":
		b.Action = cmp.Or(b.Action, strings.ToLower(value))
	case "status":
		b.Status = cmp.Or(b.Status, statusCode.FindString(value))
	case "diagnostic-code":
		if hasType {
			value = typed
		}
		b.reply(value)
	case "remote-mta":
		b.RemoteMTA = cmp.Or(b.RemoteMTA, typed)
	case "x-postfix-queue-id", "x-sendmail-queue-id", "original-message-id", "x-original-message-id", "original-envelope-id":
		b.id(bareID(value))
	case "x-postfix-sender", "x-original-sender":
		b.Sender = cmp.Or(b.Sender, bare(typed))
	case "arrival-date":
		b.Arrived = date(value)
	case "last-attempt-date":
		b.Written = date(value)
	case "message-id":
		if returned {
			b.id(bareID(value))
		}
	case "received":
		if m := receivedID.FindStringSubmatch(value); returned && m != nil && !version.MatchString(m[1]) {
			b.id(m[1])
		}
	case "return-path":
		if returned {
			b.Sender = cmp.Or(b.Sender, bare(value))
		}
	case "date":
		if d := date(value); returned && b.Arrived.IsZero() {
			b.Arrived = d
		} else if !returned && b.Written.IsZero() {
			b.Written = d
		}
	default:
		return false
	}
	return true
}

var (
	statusCode = regexp.MustCompile(`\b[245]\.[0-9]{1,3}\.[0-9]{1,3}\b`)
	receivedID = regexp.MustCompile(`(?i)\bid\s+<?([A-Za-z0-9][A-Za-z0-9.-]{5,40}[A-Za-z0-9])`)
	version    = regexp.MustCompile(`^[0-9]+(?:\.[0-9]+)+$`) // Exchange's
	// A reply in a sentence: "said: 550 5.1.1 …", "(reason: 550 …)", "<<< 550 …", "550-5.1.1 …" alone in its line.
	replyInText = regexp.MustCompile(`(?:^|[\s:：<>"'(「（])([45][0-9]{2})[ -]((?:[45]\.[0-9]{1,3}\.[0-9]{1,3}\b)?.*)$`)
	// A line of an MSA's log.
	logLine = regexp.MustCompile(`(?:([0-9A-Za-z]{6,20}): )?\bto=<([^>]{1,320})>`)
	// Who is said to have failed: "<bob@example.net>: host …", "bob@example.net" alone, "delivery to bob@example.net failed".
	addressInText = regexp.MustCompile(`(?:[A-Za-z0-9.!#$%&'*+/=?^_{|}~\x80-\x{10FFFF}-]+|"[^"\n]{1,64}")@(?:[\pL\pN](?:[\pL\pN-]*[\pL\pN])?\.)+[\pL\pN-]*[\pL\pN]`)
)

// words takes in a line that people are to read.
func (b *Bounce) words(line string) {
	line = strings.TrimSpace(line)
	if m := logLine.FindStringSubmatch(line); m != nil {
		b.id(m[1])
		b.recipient(m[2])
	}
	before := line
	if m := replyInText.FindStringSubmatchIndex(line); m != nil {
		said := line[m[2]:]
		before = line[:m[2]]
		if code := statusCode.FindString(said); code != "" || saysReply(before) || m[2] == 0 {
			if i := strings.LastIndex(said, " (in reply to "); i > 0 { // Postfix
				said = said[:i]
			}
			b.reply(strings.TrimSuffix(said, ")"))
		}
	}
	failed := addressInText.FindString(before)
	switch {
	case failed == "":
	case saysFailed(before, failed):
		b.recipient(failed)
	case saysFor.MatchString(before) && len(b.perhaps) < maxOfBounce:
		b.perhaps = append(b.perhaps, failed)
	}
}

// saysFor is how a line begins that says for whom a mail was, in programs whose users read Japanese.
var saysFor = regexp.MustCompile(`^[\s>■・*【＜<]*(?:宛先|あて先|宛て先|送信先|受信者|配送先)`)

func saysReply(before string) bool {
	before = strings.ToLower(strings.TrimRight(before, " :：'\"<(「（"))
	return slices.ContainsFunc([]string{"said", "reason", "response was", "responded with", "returned", "error", "reply", "応答", "エラー", "応答しました", "理由"}, func(end string) bool { return strings.HasSuffix(before, end) })
}

// saysFailed reports whether an address in a line is one that could not be reached: it stands alone or first, or the line says so.
func saysFailed(line, address string) bool {
	rest := strings.TrimLeft(line, "<(•*- \t\"'")
	if strings.HasPrefix(rest, address) {
		behind := strings.TrimLeft(rest[len(address):], ">)\"' \t")
		return behind == "" || behind[0] == ':' || strings.HasPrefix(behind, "(") || strings.HasPrefix(behind, "<")
	}
	lower := strings.ToLower(line)
	return slices.ContainsFunc([]string{"delivered to", "deliver to", "delivery to", "rcpt to:", "message to", "届け", "配信", "送信でき"}, func(w string) bool { return strings.Contains(lower, w) })
}

// recipient adds those that a value names.
func (b *Bounce) recipient(value string) {
	for _, a := range addressInText.FindAllString(value, -1) {
		if len(b.Recipients) < maxOfBounce && !slices.ContainsFunc(b.Recipients, func(r string) bool { return strings.EqualFold(r, a) }) {
			b.Recipients = append(b.Recipients, a)
		}
	}
}

// maxOfBounce bounds each list: what a bounce is about stands at its beginning.
const maxOfBounce = 10

func (b *Bounce) id(id string) {
	if id != "" && len(b.IDs) < maxOfBounce && !slices.Contains(b.IDs, id) {
		b.IDs = append(b.IDs, id)
	}
}

func (b *Bounce) reply(said string) {
	said = strings.TrimSpace(said)
	if said == "" || len(b.Replies) == maxOfBounce || slices.Contains(b.Replies, said) {
		return
	}
	b.Replies = append(b.Replies, said)
	if m := replyInText.FindStringSubmatch(said); m != nil && b.Code == 0 {
		b.Code, _ = strconv.Atoi(m[1])
	}
	b.Status = cmp.Or(b.Status, statusCode.FindString(said))
}

// bareID is what stands in angle brackets, or the first word.
func bareID(value string) string {
	if _, inside, is := strings.Cut(value, "<"); is {
		value, _, _ = strings.Cut(inside, ">")
	}
	word, _, _ := strings.Cut(strings.TrimSpace(value), " ")
	return word
}
