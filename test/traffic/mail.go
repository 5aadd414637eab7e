package traffic

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
)

// A Mail is one attempt to deliver a message. Another attempt is another Mail.
type Mail struct {
	Token string // unique among all attempts
	From  string
	To    []string
	Body  []byte
}

const (
	tokenField = "X-Token: "
	queuedAs   = "queued as "

	tokenLetters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

	filler = "..Lorem ipsum dolor sit amet, consetetur sadipscing elitr, sed diam nonumy eirmod tempor\r\n"
)

// NewMail makes a mail of about so many octets.
func NewMail(token, from string, to []string, size int) Mail {
	var body bytes.Buffer
	fmt.Fprintf(&body, "%s%s\r\nSubject: note\r\nFrom: <%s>\r\nMessage-ID: <%s@client.example>\r\n\r\n", tokenField, token, from, token)
	for body.Len() < size {
		body.WriteString(filler)
	}
	return Mail{Token: token, From: from, To: to, Body: body.Bytes()}
}

// Sum is what tells two bodies apart.
func (m Mail) Sum() [sha256.Size]byte { return sha256.Sum256(m.Body) }

// stuffed is the body as it is sent, with its end (RFC 5321 §4.5.2).
func (m Mail) stuffed() []byte {
	raw := bytes.ReplaceAll(m.Body, []byte("\r\n."), []byte("\r\n.."))
	if bytes.HasPrefix(raw, []byte(".")) {
		raw = append([]byte("."), raw...)
	}
	return append(raw, ".\r\n"...)
}

// tokenOf finds the token in a line of a body.
func tokenOf(line []byte) string {
	rest, found := bytes.CutPrefix(line, []byte(tokenField))
	if !found {
		return ""
	}
	return strings.TrimSpace(string(rest))
}

// tokenIn finds the token in a text that has the reply of an MX in it: a reply, a record.
func tokenIn(text []byte) string {
	_, rest, found := bytes.Cut(text, []byte(queuedAs))
	if !found {
		return ""
	}
	return string(rest[:len(rest)-len(bytes.TrimLeft(rest, tokenLetters))])
}
