package smtp

import (
	"bytes"
	"errors"
	"unicode/utf8"
)

// MaxCommand is the longest command line taken, in octets without CRLF. RFC 5321 §4.5.3.1.4 asks for 512 at least,
// extensions add to it; Postfix takes 2,048.
const MaxCommand = 4096

// Errors of [Reader.Command]. The line is consumed whenever one of them is returned.
var (
	// ErrLineTooLong is returned, after the line's CRLF was reached, for a line over MaxCommand.
	ErrLineTooLong = errors.New("smtp: command line too long")
	// ErrBadOctet is returned for a line that holds a bare CR or LF, NUL or another control character.
	ErrBadOctet = errors.New("smtp: control character in command line")
)

// A Verb is a command's keyword, as far as kanmon has to tell them apart.
type Verb uint8

// The verbs. VerbUnknown is any other keyword.
const (
	VerbUnknown Verb = iota
	VerbEHLO
	VerbHELO
	VerbMAIL
	VerbRCPT
	VerbDATA
	VerbRSET
	VerbNOOP
	VerbQUIT
	VerbVRFY
	VerbEXPN
	VerbHELP
	VerbSTARTTLS
	VerbAUTH
	VerbBDAT
	VerbBURL
	VerbRetired // ETRN, ATRN, TURN, SEND, SOML, SAML, VERB, ONEX and every X…: known, and never to be used through kanmon
)

var verbNames = [...]string{
	"", "EHLO", "HELO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT", "VRFY", "EXPN", "HELP",
	"STARTTLS", "AUTH", "BDAT", "BURL", "",
}

// retired are the verbs of VerbRetired that do not begin with X.
var retired = [...]string{"ETRN", "ATRN", "TURN", "SEND", "SOML", "SAML", "VERB", "ONEX"}

// String gives the keyword in capitals, "" where it is not one.
func (v Verb) String() string { return verbNames[v] }

// A Command is one line of the MSA. Its slices point into the Reader's buffer and are valid until its next Fill.
type Command struct {
	Verb  Verb
	Line  []byte // without CRLF, octet-identical
	Args  []byte // what follows the verb, without surrounding blanks
	UTF8  bool   // the line holds octets above 0x7F, and they are valid UTF-8
	Eight bool   // the line holds octets above 0x7F

	path, params []byte // of MAIL and RCPT, where hasPath
	hasPath      bool
}

// Command gives the next command that is already buffered. ok is false if no whole line is there: Fill, then ask again.
// On an error the offending line has been consumed.
func (r *Reader) Command() (cmd Command, ok bool, err error) {
	b := r.Buffered()
	end := bytes.Index(b, crlf) // RFC 5321 §2.3.8: only CRLF ends a line
	switch {
	case end < 0 && !r.skipping && len(b) <= MaxCommand+1:
		return Command{}, false, nil
	case end < 0:
		r.skipping, r.fed = true, r.fed || bytes.IndexByte(b, '\n') >= 0
		if n := len(b); n > 0 && b[n-1] == '\r' {
			r.Discard(n - 1)
		} else {
			r.Discard(n)
		}
		return Command{}, false, nil
	case r.skipping || end > MaxCommand:
		r.skipping, r.fed = false, false
		r.Discard(end + 2)
		return Command{}, false, ErrLineTooLong
	}
	r.Discard(end + 2)
	cmd, err = ParseCommand(b[:end])
	return cmd, err == nil, err
}

// HasCommand says whether [Reader.Command] can do something with what is buffered.
func (r *Reader) HasCommand() bool {
	b := r.Buffered()
	return len(b) > MaxCommand+1 || bytes.Contains(b, crlf) || r.skipping && len(b) > 1
}

// BareFeed says whether the line that is coming, and has not ended, holds an LF without a CR: its sender may take it for a whole one.
func (r *Reader) BareFeed() bool { return r.fed || bytes.IndexByte(r.Buffered(), '\n') >= 0 }

// ParseCommand takes a command line without its CRLF.
func ParseCommand(line []byte) (Command, error) {
	cmd := Command{Line: line}
	for _, c := range line {
		if c < ' ' && c != '\t' || c == 0x7f {
			return Command{}, ErrBadOctet
		}
		if c >= 0x80 {
			cmd.Eight = true
		}
	}
	cmd.UTF8 = cmd.Eight && utf8.Valid(line)
	n := bytes.IndexAny(line, " \t")
	if n < 0 {
		n = len(line)
	}
	cmd.Verb = lookupVerb(line[:n])
	cmd.Args = bytes.Trim(line[n:], " \t")
	switch cmd.Verb { // once: everybody who decides about a mail asks for it
	case VerbMAIL:
		cmd.path, cmd.params, cmd.hasPath = pathBehind("FROM:", cmd.Args)
	case VerbRCPT:
		cmd.path, cmd.params, cmd.hasPath = pathBehind("TO:", cmd.Args)
	}
	return cmd, nil
}

// Clone gives the command in memory of its own: that of [Reader.Command] is the Reader's.
func (c Command) Clone() Command {
	c, _ = ParseCommand(bytes.Clone(c.Line)) // it has been parsed before
	return c
}

// EndsGroup says whether a client may send nothing behind this command before it has the reply (RFC 2920 §3.1;
// an unknown verb likewise, since nobody knows what it does).
func (v Verb) EndsGroup() bool {
	switch v {
	case VerbMAIL, VerbRCPT, VerbRSET:
		return false
	default:
		return true
	}
}

// Path gives the mailbox of a MAIL or RCPT command, as between the angle brackets, and the parameters behind it. Many an MX takes
// a mailbox without the brackets. ok is false if the arguments are of neither form; such a command may still mean something to an MX.
func (c Command) Path() (mailbox, params []byte, ok bool) { return c.path, c.params, c.hasPath }

func pathBehind(keyword string, args []byte) (mailbox, params []byte, ok bool) {
	if len(args) < len(keyword) || !bytes.EqualFold(args[:len(keyword)], []byte(keyword)) {
		return nil, nil, false
	}
	rest := bytes.TrimLeft(args[len(keyword):], " \t") // a blank here is wrong and common
	if len(rest) == 0 || rest[0] != '<' {
		return barePath(rest)
	}
	end := closingBracket(rest)
	if end < 0 {
		return nil, nil, false
	}
	return rest[1:end], bytes.TrimLeft(rest[end+1:], " \t"), true
}

// barePath takes a mailbox without brackets. Where brackets follow, it is none: perhaps a display name.
func barePath(rest []byte) (mailbox, params []byte, ok bool) {
	end := bytes.IndexAny(rest, " \t")
	if end < 0 {
		end = len(rest)
	}
	mailbox, params = rest[:end], bytes.TrimLeft(rest[end:], " \t")
	if len(mailbox) == 0 || bytes.ContainsAny(mailbox, "<>\"\\") || bytes.HasPrefix(params, []byte("<")) || bytes.Contains(params, []byte(" <")) {
		return nil, nil, false
	}
	return mailbox, params, true
}

// closingBracket finds the '>' that ends a path: not one inside a quoted local part, nor an escaped one.
func closingBracket(path []byte) int {
	quoted := false
	for i := 1; i < len(path); i++ {
		switch {
		case path[i] == '\\' && quoted:
			i++
		case path[i] == '"':
			quoted = !quoted
		case path[i] == '>' && !quoted:
			return i
		}
	}
	return -1
}

// AreParams reports whether all that stands behind a path are parameters (RFC 5321 §4.1.2, esmtp-param). Where there is anything else,
// an MX may have found another mailbox in the line.
func AreParams(params []byte) bool {
	for field := range bytes.FieldsSeq(params) {
		key, _, _ := bytes.Cut(field, []byte("="))
		for _, c := range key {
			if c|0x20 < 'a' || c|0x20 > 'z' {
				if (c < '0' || c > '9') && c != '-' && c != '_' {
					return false
				}
			}
		}
		if len(key) == 0 {
			return false
		}
	}
	return true
}

// HasParam says whether a MAIL or RCPT command carries the parameter, with or without a value.
func HasParam(params []byte, name string) bool {
	_, has := Param(params, name)
	return has
}

// Param gives the value of a parameter of a MAIL or RCPT command; empty if it has none.
func Param(params []byte, name string) (value []byte, has bool) {
	for field := range bytes.FieldsSeq(params) {
		key, value, _ := bytes.Cut(field, []byte("="))
		if bytes.EqualFold(key, []byte(name)) {
			return value, true
		}
	}
	return nil, false
}

func lookupVerb(word []byte) Verb {
	if len(word) > 1 && word[0]|' ' == 'x' {
		return VerbRetired
	}
	if len(word) < 4 || len(word) > 8 {
		return VerbUnknown
	}
	var upper [8]byte
	for i, c := range word {
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		upper[i] = c
	}
	for v, name := range verbNames {
		if string(upper[:len(word)]) == name {
			return Verb(v)
		}
	}
	for _, name := range retired {
		if string(upper[:len(word)]) == name {
			return VerbRetired
		}
	}
	return VerbUnknown
}

var crlf = []byte("\r\n")
