package mailbox

import "strings"

// Each function here reads a local part without quotes, in small letters. They are strict: who has a strange name keeps it.

// withoutBATV takes off the tag that a gateway has signed a sender with (draft-levine-smtp-batv, and two makers' own).
func withoutBATV(local string) (rest string, did Folded) {
	switch {
	case strings.HasPrefix(local, "prvs="):
		rest = local[len("prvs="):]
		if tag, user, _ := strings.Cut(rest, "="); isPRVSTag(tag) && user != "" {
			return user, BATV
		}
		// The draft's first versions had the tag behind the user.
		if i := strings.LastIndexAny(rest, "=/"); i > 0 && isPRVSTag(rest[i+1:]) {
			return rest[:i], BATV
		}
	case strings.HasPrefix(local, "btv1=="):
		tag, user, _ := strings.Cut(local[len("btv1=="):], "==")
		if len(tag) >= 8 && len(tag) <= 16 && isHex(tag) && user != "" {
			return user, BATV
		}
	case strings.HasPrefix(local, "msprvs1="):
		tag, user, _ := strings.Cut(local[len("msprvs1="):], "=")
		if len(tag) >= 6 && len(tag) <= 32 && isDigits(tag[:4]) && consistsOf(tag, "abcdefghijklmnopqrstuvwxyz0123456789+/_-") && user != "" {
			return user, BATV
		}
	}
	return local, Nothing
}

// isPRVSTag: a key's number, three digits of a day and six of a hash, all of it in hexadecimal; one maker's has no number.
func isPRVSTag(tag string) bool {
	return (len(tag) == 9 || len(tag) == 10) && isHex(tag) && strings.ContainsAny(tag, "0123456789")
}

// isSRS reports whether a forwarder has written the local part: what is inside is a stranger's (openspf.org's SRS, and Microsoft's).
func isSRS(local string) bool {
	if len(local) > 5 && strings.IndexByte("=+-", local[4]) >= 0 {
		if kind := local[:4]; kind == "srs0" || kind == "srs1" {
			return srsDomain(local) != ""
		}
	}
	_, behind, found := strings.Cut(local, "+srs=")
	if !found {
		return false
	}
	hash, behind, _ := strings.Cut(behind, "=")
	day, behind, more := strings.Cut(behind, "=")
	domain, user, _ := strings.Cut(behind, "=")
	return isSRSHash(hash) && isSRSDay(day) && (!more || isName(domain) && user != "")
}

// srsDomain returns the first sender's domain of SRS0=hash=day=domain=user, SRS1=hash=forwarder==hash=day=domain=user, and of
// forwarder+SRS=hash=day=domain=user.
func srsDomain(local string) string {
	switch {
	case len(local) < 6:
		return ""
	case strings.HasPrefix(local, "srs0") && strings.IndexByte("=+-", local[4]) >= 0:
		return srsTail(local[5:])
	case strings.HasPrefix(local, "srs1") && strings.IndexByte("=+-", local[4]) >= 0:
		hash, behind, _ := strings.Cut(local[5:], "=")
		forwarder, tail, _ := strings.Cut(behind, "=")
		if !isSRSHash(hash) || !isName(forwarder) || len(tail) < 2 || strings.IndexByte("=+-", tail[0]) < 0 {
			return ""
		}
		return srsTail(tail[1:])
	}
	if _, tail, found := strings.Cut(local, "+srs="); found {
		return srsTail(tail)
	}
	return ""
}

// srsTail reads hash=day=domain=user.
func srsTail(text string) string {
	hash, behind, _ := strings.Cut(text, "=")
	day, behind, _ := strings.Cut(behind, "=")
	domain, user, _ := strings.Cut(behind, "=")
	if !isSRSHash(hash) || !isSRSDay(day) || !isName(domain) || user == "" {
		return ""
	}
	return domain
}

func isSRSHash(s string) bool {
	return len(s) >= 2 && len(s) <= 32 && consistsOf(s, "abcdefghijklmnopqrstuvwxyz0123456789+/_.-")
}

func isSRSDay(s string) bool {
	return len(s) >= 1 && len(s) <= 4 && consistsOf(s, "abcdefghijklmnopqrstuvwxyz0123456789")
}

// Words that stand in front of what list software adds. Behind the first group a number is enough. Those of the second can stand
// in front of the list's name, too, which is kept: owner-news-user=example.com is another list's than owner-jobs-user=example.com.
var (
	bounceWords = []string{"bounces", "bounce", "return-path", "returnpath", "returns", "return", "verp"}
	ownerWords  = []string{"owner", "errors", "error", "sentto"}
)

// withoutVERP takes out the recipient that a list has coded into its sender, or the number that stands for it.
func withoutVERP(local string) (rest string, did Folded) {
	if user := recipientIn(local); user > 0 {
		if plus := strings.IndexByte(local, '+'); plus > 0 && plus < user {
			return local[:plus], VERP
		}
		before := func(behind string) bool { return len(local)-len(behind) <= user }
		for _, word := range ownerWords {
			if end := wordIn(local, word, "-_.", before); end > 0 {
				return local[:endOfList(local, end, user, end == len(word))], VERP
			}
		}
		for _, word := range bounceWords {
			if end := wordIn(local, word, "-_.", before); end > 0 {
				return local[:end], VERP
			}
		}
	}
	for _, word := range bounceWords {
		if end := wordIn(local, word, "-_", areNumbers); end > 0 {
			return local[:end], VERP
		}
		if end := wordIn(local, word, "-_", func(behind string) bool { return strings.Contains(behind, "==a==") }); end > 0 {
			return local[:end], VERP // Sympa: bounce+user==a==domain==list
		}
	}
	if strings.HasPrefix(local, "owner-") { // LISTSERV: owner-list*user**domain
		list, behind, _ := strings.Cut(local, "*")
		if user, domain, _ := strings.Cut(behind, "**"); len(list) > len("owner-") && user != "" && isDotted(domain) {
			return list, VERP
		}
	}
	return local, Nothing
}

// endOfList returns the end of the list's name behind a word that begins the local part: up to the hyphen before the user, and
// without the numbers of messages behind the list's own. A list that is named in front of the word has none behind it.
func endOfList(local string, word, user int, begins bool) int {
	hyphen := strings.LastIndexByte(local[:user], '-')
	if !begins || hyphen <= word {
		return word
	}
	for {
		i := strings.LastIndexByte(local[:hyphen], '-')
		if i <= word || !isDigits(local[i+1:hyphen]) {
			return hyphen
		}
		hyphen = i
	}
}

// recipientIn returns the place of the "=" in "user=example.com" at the end; 0 if there is none, or no user before it.
func recipientIn(local string) int {
	i := strings.LastIndexByte(local, '=')
	if i <= 0 || strings.IndexByte("+=-_.", local[i-1]) >= 0 || !isDotted(local[i+1:]) {
		return 0
	}
	return i
}

// wordIn returns the end of a word that begins the local part, or stands behind one of the octets given, and behind which there is a
// separator and what fits; 0 if there is none.
func wordIn(local, word, before string, fits func(behind string) bool) int {
	for from := 0; ; {
		i := strings.Index(local[from:], word)
		if i < 0 {
			return 0
		}
		begin, end := from+i, from+i+len(word)
		if (begin == 0 || strings.IndexByte(before, local[begin-1]) >= 0) &&
			end+1 < len(local) && strings.IndexByte("-_.=+", local[end]) >= 0 && fits(local[end+1:]) {
			return end
		}
		from = end
	}
}

// areNumbers reports whether a text is numbers alone: of digits, or a hash of eight octets or more in hexadecimal.
func areNumbers(text string) bool {
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune("-_.+", r) }) {
		if !isDigits(part) && (len(part) < 8 || !isHex(part) || !strings.ContainsAny(part, "0123456789")) {
			return false
		}
	}
	return strings.ContainsAny(text, "0123456789")
}

// withoutTag takes off a subaddress, as mail servers find it: from the first plus on, if there is somebody before it.
func withoutTag(local string) (rest string, did Folded) {
	if i := strings.IndexByte(local, '+'); i > 0 {
		return local[:i], Tag
	}
	return local, Nothing
}

// isDotted reports whether a text is a domain of several labels, of which the last is no number.
func isDotted(text string) bool {
	i := strings.LastIndexByte(text, '.')
	return i > 0 && isName(text) && len(text)-i > 2 && 'a' <= text[i+1] && text[i+1] <= 'z'
}

func isName(text string) bool {
	return strings.IndexFunc(text, notDomainRune) < 0 && areLabels([]byte(text))
}

func isHex(s string) bool    { return consistsOf(s, "0123456789abcdef") }
func isDigits(s string) bool { return consistsOf(s, "0123456789") }

func consistsOf(s, octets string) bool {
	for i := range len(s) {
		if strings.IndexByte(octets, s[i]) < 0 {
			return false
		}
	}
	return s != ""
}
