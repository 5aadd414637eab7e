package find

import (
	"encoding/base64"
	"html"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"regexp"
	"strings"
	"time"
)

const (
	maxDepth = 5       // of parts in parts
	maxParts = 100     // of one
	maxLine  = 8 << 10 // octets that are read of one, unfolded about as many
)

// unquoted takes off the marks of whoever has quoted a text, and makes line ends alike.
func unquoted(written string) string {
	written = strings.ReplaceAll(strings.ReplaceAll(written, "\r\n", "\n"), "\r", "\n")
	for range maxDepth {
		lines, quoted := strings.Split(written, "\n"), 0
		some := 0
		for _, l := range lines {
			if strings.TrimSpace(l) != "" {
				some++
			}
			if strings.HasPrefix(l, ">") && !strings.HasPrefix(l, ">>> ") { // sendmail shows what it said so
				quoted++
			}
		}
		if quoted == 0 || quoted*2 < some {
			break
		}
		for i, l := range lines {
			if rest, is := strings.CutPrefix(l, ">"); is {
				lines[i] = strings.TrimPrefix(rest, " ")
			}
		}
		written = strings.Join(lines, "\n")
	}
	return written
}

// parts takes a mail apart, or a piece of one: its own header, if it is whole, and its texts.
func parts(written string, depth int) (own string, all []part) {
	written = strings.TrimLeft(written, "\n")
	header, body, whole := strings.Cut(written, "\n\n")
	if !whole || depth > maxDepth || !isHeader(header) || !isMail(header) {
		written = softened(written)
		if tagged.MatchString(written) { // the source of what a mail program shows
			written = withoutTags(written)
		}
		return "", []part{textPart(written, false)}
	}
	return header, contents(header, body, depth, false)
}

// forwarded gives the texts of a bounce that somebody has attached to a mail of his, and what its header says of it.
func forwarded(written string, depth int) []part {
	own, all := parts(written, depth)
	said := part{lines: []string{"Date: " + field(own, "Date"), "X-Failed-Recipients: " + field(own, "X-Failed-Recipients")}}
	return append(all, said)
}

// isBounce tells the header of a bounce from that of the mail that came back.
func isBounce(header string) bool {
	from, kind := strings.ToLower(field(header, "From")), strings.ToLower(field(header, "Content-Type"))
	return strings.Contains(kind, "multipart/report") || field(header, "X-Failed-Recipients") != "" || bare(field(header, "Return-Path")) == "" && field(header, "Return-Path") != "" ||
		strings.Contains(from, "mailer-daemon") || strings.Contains(from, "postmaster@")
}

// contents gives the texts in the body of a mail or a part; in a report a mail is what came back.
func contents(header, body string, depth int, ofReport bool) []part {
	kind, params, err := mime.ParseMediaType(field(header, "Content-Type"))
	if err != nil {
		kind = "text/plain"
	}
	switch {
	case strings.HasPrefix(kind, "multipart/") && params["boundary"] != "" && depth <= maxDepth:
		var all []part
		for _, piece := range pieces(body, params["boundary"]) {
			head, rest, _ := strings.Cut(piece, "\n\n")
			if strings.HasPrefix(piece, "\n") { // without a header
				head, rest = "", piece
			}
			all = append(all, contents(head, rest, depth+1, ofReport || kind == "multipart/report")...)
		}
		return all
	case kind == "message/rfc822", kind == "message/global", kind == "text/rfc822-headers", kind == "message/global-headers":
		inside := strings.TrimLeft(decoded(header, body), "\n")
		head, _, _ := strings.Cut(inside, "\n\n")
		if !ofReport && depth <= maxDepth && isBounce(head) {
			return forwarded(inside, depth+1)
		}
		return []part{textPart(head, true)} // what it says is of no matter
	case kind == "text/html":
		return []part{textPart(withoutTags(decoded(header, body)), false)}
	case strings.HasPrefix(kind, "text/"), strings.HasPrefix(kind, "message/"):
		return []part{textPart(decoded(header, body), false)}
	default:
		return nil
	}
}

var (
	tag    = regexp.MustCompile(`<[^<>@]{0,500}>`)
	tagged = regexp.MustCompile(`(?i)<(?:html|body|div|p|br|table|td|font|span)[ />]`)
)

// withoutTags is what people see of HTML, nearly.
func withoutTags(text string) string { return html.UnescapeString(tag.ReplaceAllString(text, "\n")) }

// pieces parts a body at its boundary. One that is cut off is taken as far as it goes.
func pieces(body, boundary string) (all []string) {
	body = "\n" + body
	for i, p := range strings.Split(body, "\n--"+boundary) {
		if i == 0 || strings.HasPrefix(p, "--") || len(all) == maxParts {
			continue
		}
		_, p, _ = strings.Cut(p, "\n")
		all = append(all, p)
	}
	return all
}

// decoded undoes the encoding of a part; where it is damaged, as far as it goes.
func decoded(header, body string) string {
	switch strings.ToLower(strings.TrimSpace(field(header, "Content-Transfer-Encoding"))) {
	case "quoted-printable":
		return fromQuoted(body)
	case "base64":
		octets, _ := io.ReadAll(base64.NewDecoder(base64.StdEncoding, strings.NewReader(body)))
		return strings.ReplaceAll(readable(string(octets)), "\r\n", "\n")
	default:
		return softened(body)
	}
}

var softBreak = regexp.MustCompile(`(?m)=(?:3D|20$|\n)`)

// softened undoes quoted-printable where the header that says so was not pasted.
func softened(body string) string {
	if len(softBreak.FindAllString(body, 2)) < 2 {
		return body
	}
	return fromQuoted(body)
}

func fromQuoted(body string) string {
	octets, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(body)))
	if err != nil {
		return body
	}
	return strings.ReplaceAll(readable(string(octets)), "\r\n", "\n")
}

// textPart unfolds lines: those that begin with a blank go on with the line before, where that is a field of a header or a sentence about
// an address.
func textPart(body string, returned bool) part {
	var lines []string
	goesOn := false
	for line := range strings.SplitSeq(body, "\n") {
		folded := strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")
		line = line[:min(len(line), maxLine)]
		if folded && goesOn {
			if whole := &lines[len(lines)-1]; len(*whole) < maxLine {
				*whole += " " + strings.TrimSpace(line)
			}
			continue
		}
		_, _, isField := headerField(line)
		goesOn = isField || strings.HasPrefix(line, "<")
		lines = append(lines, strings.TrimRight(line, " \t"))
	}
	return part{lines, returned}
}

var fieldLine = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9-]{1,40}):[ \t]*(.*)$`)

func headerField(line string) (name, value string, is bool) {
	m := fieldLine.FindStringSubmatch(line)
	if m == nil {
		return "", "", false
	}
	return m[1], strings.TrimSpace(m[2]), true
}

func isHeader(text string) bool {
	for i, line := range strings.Split(text, "\n") {
		_, _, is := headerField(line)
		if !is && (i == 0 && !strings.HasPrefix(line, "From ") || i > 0 && !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "\t")) {
			return false
		}
	}
	return true
}

// isMail tells the header of a mail from the fields of a delivery status.
func isMail(header string) bool {
	return field(header, "From") != "" || field(header, "Received") != "" || field(header, "MIME-Version") != "" || field(header, "Subject") != ""
}

// field returns the first field of a header by that name.
func field(header, name string) string {
	for _, line := range textPart(header, false).lines {
		if n, value, is := headerField(line); is && strings.EqualFold(n, name) {
			return value
		}
	}
	return ""
}

func date(value string) time.Time {
	t, err := mail.ParseDate(value)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}
