package netlab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Submit hands mail to an MSA by SMTP, as a mail program would, and gives the MSA's queue id. The message is the header,
// an empty line and the body, with CRLF at the end of every line; it may be empty.
func (p *Postfix) Submit(from string, to []string, message []byte) (queueID string, err error) {
	conn, err := p.Host.Dial(p.address(), 5*time.Second)
	if err != nil {
		return "", fmt.Errorf("submit to %s: %w", p.Host.Name, err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
	smtp := textproto.NewConn(conn)
	if _, _, err := smtp.ReadResponse(220); err != nil {
		return "", fmt.Errorf("submit to %s: %w", p.Host.Name, err)
	}
	commands := []string{"EHLO client.example", "MAIL FROM:<" + from + "> BODY=8BITMIME"}
	for _, recipient := range to {
		commands = append(commands, "RCPT TO:<"+recipient+">")
	}
	for _, command := range append(commands, "DATA") {
		want := 250
		if command == "DATA" {
			want = 354
		}
		if err := smtp.PrintfLine("%s", command); err != nil {
			return "", fmt.Errorf("submit to %s: %w", p.Host.Name, err)
		}
		if _, _, err := smtp.ReadResponse(want); err != nil {
			return "", fmt.Errorf("submit to %s: %s: %w", p.Host.Name, command, err)
		}
	}
	body := append(dotStuff(message), ".\r\n"...)
	if _, err := conn.Write(body); err != nil {
		return "", fmt.Errorf("submit to %s: %w", p.Host.Name, err)
	}
	_, reply, err := smtp.ReadResponse(250)
	if err != nil {
		return "", fmt.Errorf("submit to %s: %w", p.Host.Name, err)
	}
	return queuedAs(reply), nil
}

// dotStuff doubles the dots that begin a line (RFC 5321 §4.5.2).
func dotStuff(message []byte) []byte {
	stuffed := bytes.ReplaceAll(message, []byte("\r\n."), []byte("\r\n.."))
	if bytes.HasPrefix(message, []byte(".")) {
		stuffed = append([]byte("."), stuffed...)
	}
	return stuffed
}

var queuedPattern = regexp.MustCompile(`queued as (\w+)`)

func queuedAs(reply string) string {
	if found := queuedPattern.FindStringSubmatch(reply); found != nil {
		return found[1]
	}
	return ""
}

// An Attempt is what an MSA's log says about one try to deliver to one recipient.
type Attempt struct {
	QueueID   string // the MSA's own
	Recipient string
	Relay     string        // name[address]:port of the MX, or "none"
	Delay     time.Duration // since the MSA had the mail
	Status    string        // sent, deferred or bounced
	Reply     string        // the MX's reply, or why there was none
}

// RemoteQueueID is the queue id that the MX named in its reply; "" if it named none.
func (a Attempt) RemoteQueueID() string { return queuedAs(a.Reply) }

var attemptPattern = regexp.MustCompile(
	`postfix/(?:smtp|error)\[\d+\]: (\w+): to=<([^>]*)>,.* relay=([^,]+),.* delay=([\d.]+),.* status=(\w+) \((.*)\)`)

// Attempts gives all tries to deliver to a recipient so far.
func (p *Postfix) Attempts(recipient string) []Attempt {
	return slices.DeleteFunc(p.AllAttempts(), func(a Attempt) bool { return a.Recipient != recipient })
}

// AllAttempts gives all tries to deliver so far, in their order.
func (p *Postfix) AllAttempts() (attempts []Attempt) {
	for _, found := range attemptPattern.FindAllStringSubmatch(p.Log(), -1) {
		delay, _ := strconv.ParseFloat(found[4], 64)
		attempts = append(attempts, Attempt{
			QueueID: found[1], Recipient: found[2], Relay: found[3],
			Delay: time.Duration(delay * float64(time.Second)), Status: found[5], Reply: found[6],
		})
	}
	return attempts
}

// WaitStatus waits until the latest try to deliver to a recipient has ended with the status: sent, deferred or bounced.
func (p *Postfix) WaitStatus(ctx context.Context, recipient, status string) (Attempt, error) {
	var last Attempt
	err := waitFor(ctx, fmt.Sprintf("mail to %s is %s", recipient, status), func() bool {
		if attempts := p.Attempts(recipient); len(attempts) > 0 {
			last = attempts[len(attempts)-1]
		}
		return last.Status == status
	})
	if err != nil && last.Status != "" {
		err = fmt.Errorf("%w; the last try was %s: %s", err, last.Status, last.Reply)
	}
	return last, err
}

// A Stored is a message as an MX stored it.
//
// What Postfix does to a message on its way, without kanmon as with it: each Postfix puts a Received field on top; the MX
// puts Return-Path, X-Original-To and Delivered-To above that; lines end with LF in the file; a last line without an end
// gets one. An MSA also breaks lines of more than 998 octets. All else is as it was submitted.
type Stored struct {
	Received string // the MX's own Received field, on one line
	Relayed  []byte // all below that, with CRLF: what the MSA has sent, with its own fields
	Message  []byte // all below the MSA's Received field: header and body as submitted, with CRLF
}

// WaitStored waits until the MX has stored the message of a queue id of its own, and gives it.
func (p *Postfix) WaitStored(ctx context.Context, queueID string) (Stored, error) {
	var stored Stored
	err := waitFor(ctx, fmt.Sprintf("%s has stored %s", p.Host.Name, queueID), func() bool {
		files, _ := filepath.Glob(filepath.Join(p.dir, "store/inbox/new/*"))
		for _, file := range files {
			if !strings.Contains(parseStored(head(file)).Received, " id "+queueID) {
				continue
			}
			content, err := os.ReadFile(file)
			stored = parseStored(content)
			return err == nil
		}
		return false
	})
	return stored, err
}

// head reads the beginning of a file, where the fields are that the two Postfixes added.
func head(path string) []byte {
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer func() { _ = file.Close() }()
	content, _ := io.ReadAll(io.LimitReader(file, 8<<10))
	return content
}

// Inbox gives what the MX has stored so far, of each message the beginning.
func (p *Postfix) Inbox() (all []Stored) {
	files, _ := filepath.Glob(filepath.Join(p.dir, "store/inbox/new/*"))
	for _, file := range files {
		all = append(all, parseStored(head(file)))
	}
	return all
}

// Count is the number of messages the MX has stored.
func (p *Postfix) Count() int {
	files, _ := filepath.Glob(filepath.Join(p.dir, "store/inbox/new/*"))
	return len(files)
}

func parseStored(content []byte) Stored {
	var stored Stored
	received := 0
	for len(content) > 0 {
		field, rest := cutField(content)
		if bytes.HasPrefix(field, []byte("Received:")) {
			received++
		}
		if received == 1 && stored.Received == "" {
			stored.Received = strings.Join(strings.Fields(string(field)), " ")
			stored.Relayed = bytes.ReplaceAll(rest, []byte("\n"), []byte("\r\n"))
		}
		content = rest
		if received == 2 {
			break
		}
	}
	stored.Message = bytes.ReplaceAll(content, []byte("\n"), []byte("\r\n"))
	return stored
}

// cutField cuts a header field with its continuation lines off.
func cutField(content []byte) (field, rest []byte) {
	end := 0
	for end < len(content) {
		n := bytes.IndexByte(content[end:], '\n')
		if n < 0 {
			return content, nil
		}
		end += n + 1
		if end < len(content) && content[end] != ' ' && content[end] != '\t' {
			break
		}
	}
	return content[:end], content[end:]
}
