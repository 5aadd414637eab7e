package find

import (
	"cmp"
	"fmt"
	"net/mail"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"kanmon/internal/event"
	"kanmon/internal/event/journal"
	"kanmon/internal/event/word"
	"kanmon/internal/view/history"
)

// A Kind is what a term is taken for.
type Kind uint8

// The kinds.
const (
	KindID      Kind = iota // a message id, a queue id of the MSA or of the MX
	KindAddress             // a sender or a recipient
	KindDomain              // @domain, of recipients
	KindSession             // perhaps with the number of a transaction
	KindIP                  // a sending IP or an MX
	KindBounce              // all that a bounce tells
)

var kinds = word.List[Kind]("kind of term", "id", "address", "domain", "session", "ip", "bounce")

// String returns the kind as JSON has it.
func (k Kind) String() string { return kinds.Text(k) }

// MarshalText writes it so.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// A Term is what somebody looks for.
type Term struct {
	Text   string
	Kind   Kind
	Any    []history.Filter // what holds of one of these is meant
	Plain  []history.Filter // or of these: the same as records have it that are older than the mask. Nobody notes it
	Number int              // of the transaction, with KindSession; 0: any
	Bounce *Bounce          // with KindBounce
	Blind  bool             // the records show no local parts: of an address its domain is looked for
}

// Bounds of what is read.
const (
	MaxTerm   = 1024    // octets of one that is no bounce
	MaxBounce = 1 << 20 // octets
	MaxList   = 500     // terms
)

var sessionTerm = regexp.MustCompile(`^([0-9a-f]{16})(?:[-/ ]([0-9]{1,9}))?$`)

// Parse says what a term means, in records that show names through a mask. More than one line is a bounce.
func Parse(written string, shown journal.Mask) (Term, error) {
	word := strings.TrimSpace(written)
	switch {
	case word == "":
		return Term{}, fmt.Errorf("there is nothing to look for: %s", termsThatAre)
	case len(word) > MaxBounce:
		return Term{}, fmt.Errorf("%d octets are too many: of a bounce the first %d are enough", len(word), MaxBounce)
	case strings.ContainsAny(word, "\r\n"), len(word) > MaxTerm:
		return ofBounce(word, shown)
	}
	t := Term{Text: word}
	if s := sessionTerm.FindStringSubmatch(word); s != nil {
		t.ofSession(s)
		return t, nil
	}
	if ip, err := netip.ParseAddr(strings.Trim(word, "[]")); err == nil {
		t.Kind, t.Any = KindIP, []history.Filter{{SendingIP: ip.Unmap()}, {MX: ip.Unmap()}}
		return t, nil
	}
	if domain, is := strings.CutPrefix(word, "@"); is {
		if !isDomain(domain) {
			return t, fmt.Errorf("%q is no domain: %s", word, termsThatAre)
		}
		t.Kind, t.Any = KindDomain, domainOf(domain, shown)
		return t, nil
	}
	if strings.ContainsAny(word, " \t") {
		if inside, err := mail.ParseAddress(word); err == nil {
			word = (&mail.Address{Address: inside.Address}).String() // with the quotes that its local part needs
		} else {
			return ofBounce(word, shown)
		}
	}
	word = bare(word)
	if strings.Contains(word, "@") {
		return t.ofAddress(word, shown)
	}
	t.Any = []history.Filter{{ID: word}}
	if isDomain(word) {
		t.Any = append(t.Any, domainOf(word, shown)...)
	}
	return t, nil
}

const termsThatAre = "want an address, @domain of recipients, a queue id, a Message-ID, a session's id, an IP address, or a whole bounce"

// Noted is what is noted of a search: the term in the form in which the records have it, so that nobody stands there in plain text whom
// they hide.
func (t *Term) Noted() string {
	if t.Kind != KindAddress && t.Kind != KindBounce {
		return t.Text
	}
	var said []string
	for _, f := range t.Any {
		if as := cmp.Or(f.Recipient, f.ID); as != "" && !slices.Contains(said, as) {
			said = append(said, as)
		}
		if t.Kind == KindAddress {
			break
		}
	}
	if t.Kind == KindBounce {
		return "bounce: " + strings.Join(said, ", ")
	}
	return strings.Join(said, ", ")
}

// MaxNoted is how many octets of one search are noted in one place.
const MaxNoted = 2000

// Noted is what is noted of terms that are looked for at once: all of them, in as many places as that takes.
func Noted(terms []Term) (places []string) {
	for i := range terms {
		term := event.Printable(terms[i].Noted(), MaxNoted)
		if last := len(places) - 1; last >= 0 && len(places[last])+len(", ")+len(term) <= MaxNoted {
			places[last] += ", " + term
		} else {
			places = append(places, term)
		}
	}
	return places
}

// ofSession takes 16 hexadecimal digits; they may be an MSA's queue id, too.
func (t *Term) ofSession(parts []string) {
	t.Kind = KindSession
	id, _ := strconv.ParseUint(parts[1], 16, 64)
	if id != 0 { // which asks for nothing, and no session has
		t.Any = []history.Filter{{Session: event.ID(id)}}
	}
	if parts[2] == "" {
		t.Any = append(t.Any, history.Filter{ID: parts[1]})
		return
	}
	t.Number, _ = strconv.Atoi(parts[2])
}

// ofAddress takes what has an @: an address, or a Message-ID, which looks like one.
func (t Term) ofAddress(address string, shown journal.Mask) (Term, error) {
	t.Kind = KindAddress
	at := strings.LastIndexByte(address, '@')
	if at == 0 || at == len(address)-1 {
		return t, fmt.Errorf("%q is no address: %s", address, termsThatAre)
	}
	if shown.Mode == journal.AddressesDomain {
		t.Blind = true
		t.Any = domainOf(address[at+1:], shown)
		return t, nil
	}
	as := shown.Address(address)
	if shown.Mode == journal.AddressesHashed && hashedTerm.MatchString(address) {
		as = address // from a record
	}
	t.Any = []history.Filter{{Recipient: as}, {Sender: as}, {ID: shown.MessageID(address)}}
	if as != address {
		t.Plain = []history.Filter{{Recipient: address}, {Sender: address}, {ID: address}}
	}
	return t, nil
}

var hashedTerm = regexp.MustCompile(`^[0-9a-f]{12}@`)

// domainOf is all mail to a domain, and what the records of all its senders make one.
func domainOf(domain string, shown journal.Mask) []history.Filter {
	all := []history.Filter{{Recipient: "@" + domain}}
	if shown.Mode == journal.AddressesDomain {
		all = append(all, history.Filter{Sender: shown.Address("any@" + domain)})
	}
	return all
}

// bare takes a term out of the brackets and quotes that it stands in where it was copied from.
func bare(word string) string {
	word = strings.Trim(word, ",;")
	for _, quote := range []string{`"`, "'", "`"} {
		if inside, is := strings.CutPrefix(word, quote); is && strings.HasSuffix(inside, quote) {
			word = strings.TrimSuffix(inside, quote)
		}
	}
	if len(word) > 1 && word[0] == '<' {
		word = strings.TrimSuffix(word[1:], ">")
	}
	if len(word) > len("mailto:") && strings.EqualFold(word[:len("mailto:")], "mailto:") {
		word = word[len("mailto:"):]
	}
	return strings.TrimSuffix(word, ":") // as a log line has a queue id
}

var domainTerm = regexp.MustCompile(`^(?:[\pL\pN_-]+\.)+[\pL\pN-]+$|^\[[0-9A-Fa-f.:IPv]+\]$`)

func isDomain(text string) bool { return domainTerm.MatchString(text) }

// Terms says whether a text is a list of terms, one a line, and gives them.
func Terms(written string) (list []string, is bool) {
	for line := range strings.Lines(written) {
		line = strings.Trim(line, " \t\r\n,;")
		if line == "" {
			continue
		}
		if strings.ContainsAny(line, " \t") || strings.HasSuffix(line, ":") && !strings.Contains(line, "@") {
			if a, err := mail.ParseAddress(line); err == nil {
				line = a.Address
			} else {
				return nil, false
			}
		}
		list = append(list, line)
	}
	return list, len(list) > 0
}
