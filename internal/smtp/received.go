package smtp

import (
	"net/mail"
	"strings"
	"time"
)

// ParseReceived reads a Received field, unfolded, for what the MTA that wrote it calls the message in its own log, and
// for when it took it. Either is zero where the field does not say it, or not in a way that is known. What stands in
// comments is mostly what others have said: it counts for nothing, but for qmail, which says all in one.
//
//	Postfix, Exim, OpenSMTPD, sendmail   … id 4jYHGY1Bkqz3Z …; date
//	Exchange                             … with Microsoft SMTP Server … id 15.2.1544.11 …; date: the program's version, which names no message
//	qmail                                (qmail 12345 invoked by …); date: the "qp" of its log
func ParseReceived(field string) (id string, at time.Time) {
	clauses, date := splitReceived(field)
	at, err := mail.ParseDate(strings.TrimSpace(date))
	if err != nil {
		at = time.Time{}
	}
	if rest, qmail := strings.CutPrefix(field, "(qmail "); qmail {
		id, _, _ = strings.Cut(rest, " ")
	} else {
		id = idOf(strings.Fields(clauses))
	}
	if !isQueueID(id) {
		id = ""
	}
	return id, at
}

// idOf finds the value of the id clause (RFC 5321 §4.4). A name that follows another clause's keyword is that one's value, whatever it is.
func idOf(words []string) (id string) {
	exchange := false
	for i := 0; i+1 < len(words); i++ {
		switch strings.ToLower(words[i]) {
		case "with":
			exchange = strings.EqualFold(words[i+1], "Microsoft") || strings.EqualFold(words[i+1], "mapi")
			i++
		case "from", "by", "via", "for":
			i++
		case "id":
			if exchange {
				return ""
			}
			return words[i+1]
		}
	}
	return ""
}

// splitReceived returns what stands before the last semicolon without comments, and what stands behind it.
func splitReceived(field string) (clauses, date string) {
	var out strings.Builder
	depth, quoted, end, semicolon := 0, false, 0, -1
	for i := 0; i < len(field); i++ {
		c := field[i]
		switch {
		case c == '\\' && (quoted || depth > 0):
			i++
			continue
		case c == '"' && depth == 0:
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
			continue
		case c == ')' && depth > 0:
			if depth--; depth == 0 {
				out.WriteByte(' ')
			}
			continue
		case c == ';' && depth == 0:
			semicolon, end = i, out.Len()
		}
		if depth == 0 {
			out.WriteByte(c)
		}
	}
	if semicolon < 0 {
		return out.String(), ""
	}
	return out.String()[:end], field[semicolon+1:]
}

// maxQueueID is more than any MTA gives.
const maxQueueID = 64

// isQueueID tells names of messages from whatever else may stand there: an address is none.
func isQueueID(id string) bool {
	if id == "" || len(id) > maxQueueID {
		return false
	}
	for _, c := range []byte(id) {
		letter, digit := 'a' <= c|0x20 && c|0x20 <= 'z', '0' <= c && c <= '9'
		if !letter && !digit && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return true
}
