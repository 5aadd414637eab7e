package milter

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/d--j/go-milter"
)

// mostField is how long a header field may be. Filters take frames of 65,535 octets (libmilter's MILTER_MAX_DATA_SIZE), and hang up at more.
const mostField = 65_000

// An errField is a field that is too long to be told to a filter.
type errField struct{}

func (errField) Error() string {
	return fmt.Sprintf("a header field of more than %d octets", mostField)
}

// header sends the fields of a message's header and returns what is behind it: its body, without the empty line. A line that belongs to no
// field ends the header as well, and is the first one of the body, as it is to Postfix.
func (c *conversation) header(in *bufio.Reader) (action *milter.Action, body io.Reader, err error) {
	action = &milter.Action{Type: milter.ActionContinue}
	var field []byte
	for {
		line, err := readLine(in)
		if err != nil {
			return nil, nil, err
		}
		if isFolded := len(line) > 0 && (line[0] == ' ' || line[0] == '\t'); isFolded && field != nil {
			if field = append(field, line...); len(field) > mostField {
				return nil, nil, errField{}
			}
			continue
		}
		if field != nil && !c.session.Skip() {
			if action, err = c.field(field); err != nil || action.Type != milter.ActionContinue {
				return action, in, err
			}
		}
		switch {
		case len(line) == 0 || len(bytes.TrimRight(line, "\r\n")) == 0:
			return action, in, nil
		case !isField(line):
			return action, io.MultiReader(bytes.NewReader(line), in), nil
		case len(line) > mostField:
			return nil, nil, errField{}
		}
		field = line
	}
}

// readLine reads a line with its end, or what there is of one that is longer than any field; nothing at the message's end.
func readLine(in *bufio.Reader) (line []byte, err error) {
	for len(line) <= mostField {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil, errors.Is(err, io.EOF):
			return line, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("read the message: %w", err)
		}
	}
	return line, nil
}

// isField reports whether a line begins a header field: a name, perhaps blanks, a colon (RFC 5322 section 2.2, and 4.5.8 for the blanks).
func isField(line []byte) bool {
	name, _, ok := bytes.Cut(line, []byte{':'})
	name = bytes.TrimRight(name, " \t")
	return ok && len(name) > 0 && !bytes.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' })
}

// field sends one, its lines divided by LF as Sendmail and Postfix do it. An octet 0 would end it there: a blank stands in its place.
func (c *conversation) field(field []byte) (*milter.Action, error) {
	name, value, _ := bytes.Cut(field, []byte{':'})
	text := strings.NewReplacer("\r\n", "\n", "\x00", " ").Replace(string(value))
	text = strings.TrimRight(text, "\r\n")
	if !c.session.ProtocolOption(milter.OptHeaderLeadingSpace) && text != "" && (text[0] == ' ' || text[0] == '\t') {
		text = text[1:]
	}
	return c.session.HeaderField(string(bytes.TrimRight(name, " \t")), text, nil)
}
