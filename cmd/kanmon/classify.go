package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"kanmon/internal/outlet/classify"
	"kanmon/internal/smtp"
	"kanmon/internal/smtp/replies"
)

// maxReplyLine is how much of a line of standard input is kept; the rest of the line is dropped.
const maxReplyLine = 64 << 10

type classifyCommand struct {
	Reply     string     `arg:"" optional:"" help:"The whole reply, with its codes."`
	Phase     string     `help:"The step that was answered, as records name it: banner, ehlo, mail, rcpt, dot." placeholder:"PHASE"`
	Provider  string     `help:"The provider, for your own rules that name one." placeholder:"NAME"`
	IP        netip.Addr `help:"The sending IP as the MX saw it. Without it kanmon does not check whether an address in the reply is yours." placeholder:"ADDRESS"`
	Rules     string     `help:"A file of your own rules, which are asked before the built-in ones." placeholder:"FILE"`
	Sender    string     `help:"The envelope sender of the mail: what the reply repeats of it is no evidence." placeholder:"ADDRESS"`
	Recipient string     `help:"The recipient of the mail: what the reply repeats of it is no evidence." placeholder:"ADDRESS"`
	EHLO      []string   `name:"ehlo" help:"The name of the MSA or of kanmon in EHLO: what the reply repeats of it is no evidence. May be given twice." placeholder:"NAME"`
	Subject   string     `help:"The Subject of the message: what the reply repeats of it is no evidence." placeholder:"TEXT"`
	JSON      bool       `name:"json" help:"Read replies from standard input, one a line, as text or as JSON objects with reply, phase, provider, ip, sender, recipient, ehlo and subject; write a JSON object a line."`
}

// Run explains one reply to a human, or many to a machine.
func (k *classifyCommand) Run(c *console) error {
	if k.JSON == (k.Reply != "") {
		return errors.New(`classify wants either a reply, "550 5.7.1 …", or --json and replies on standard input`)
	}
	rules, err := classify.Builtin()
	if err != nil {
		return err
	}
	if k.Rules != "" {
		data, err := os.ReadFile(k.Rules)
		if err != nil {
			return err
		}
		if rules, err = classify.Parse(k.Rules, data); err != nil {
			return err
		}
	}
	query := classify.Query{
		Text: k.Reply, Phase: classify.Phase(k.Phase), Provider: k.Provider, SendingIP: k.IP, Sender: k.Sender, Recipient: k.Recipient,
		EHLO: k.EHLO, Subject: k.Subject,
	}
	if k.JSON {
		return classifyLines(rules, query, c.stdin, c.stdout)
	}
	if own := replies.Find(k.Reply); own != nil {
		explainOwn(c.stdout, own)
		return nil
	}
	explainVerdict(c.stdout, rules.Classify(query))
	return nil
}

// explainOwn writes what docs/ref/replies.md says of a reply of kanmon's own: no receiver has given it.
func explainOwn(w io.Writer, e *replies.Entry) {
	for _, row := range [][2]string{
		{"own", e.Name + ": kanmon itself gives this reply, not a receiver"}, {"because", e.Happened}, {"mail", e.Mail}, {"tenant", e.Postmaster}, {"do", e.Operator},
	} {
		fmt.Fprintf(w, "%-8s %s\n", row[0], row[1])
	}
}

// explainVerdict writes a verdict for humans.
func explainVerdict(w io.Writer, v classify.Verdict) {
	row := func(name, text string) {
		if text != "" {
			fmt.Fprintf(w, "%-8s %s\n", name, smtp.AppendSanitised(nil, []byte(text), true))
		}
	}
	meaning, action := classify.Explain(v.Class)
	row("class", v.Class.String()+": "+meaning)
	row("whose", v.Scope.String())
	suspend := v.Suspend.String()
	if v.Guard != "" {
		suspend += ", not more: " + v.Guard
	}
	row("suspend", suspend)
	if v.Only {
		row("blames", "nothing but our IP")
	}
	for _, l := range v.Lists {
		text := l.Name + ", " + l.Weight.String()
		if l.Delist != "" {
			text += ", " + l.Delist
		}
		row("list", text)
	}
	row("quotes", strings.Join(quoted(v), ", "))
	if v.RetryAfter > 0 {
		row("again", "in "+v.RetryAfter.String())
	}
	row("rule", v.Rule)
	row("source", v.Source)
	if v.Advice != "" {
		action = v.Advice
	}
	if v.Guard == classify.GuardOther {
		action = "nothing: the reply is about an address that is not ours"
	}
	row("do", action)
}

// quoted writes single addresses without the length of a network.
func quoted(v classify.Verdict) []string {
	var out []string
	for _, p := range v.Quoted {
		if p.IsSingleIP() {
			out = append(out, p.Addr().String())
		} else {
			out = append(out, p.String())
		}
	}
	return out
}

// A replyLine is a line of standard input that is a JSON object.
type replyLine struct {
	Reply     string     `json:"reply"`
	Phase     string     `json:"phase"`
	Provider  string     `json:"provider"`
	IP        netip.Addr `json:"ip"`
	Sender    string     `json:"sender"`
	Recipient string     `json:"recipient"`
	EHLO      names      `json:"ehlo"`
	Subject   string     `json:"subject"`
}

// names is one name, or a list of names.
type names []string

// UnmarshalJSON reads both.
func (n *names) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte("[")) {
		return json.Unmarshal(data, (*[]string)(n))
	}
	var one string
	if err := json.Unmarshal(data, &one); err != nil {
		return fmt.Errorf("ehlo: want a name or a list of names: %w", err)
	}
	if *n = nil; one != "" {
		*n = names{one}
	}
	return nil
}

// A verdictLine is what is written for a line of standard input.
type verdictLine struct {
	Class      string            `json:"class"`
	Scope      string            `json:"scope"`
	Suspend    string            `json:"suspend"`
	Only       bool              `json:"only,omitempty"` // nothing but our IP is blamed
	Lists      []string          `json:"lists"`
	Weights    map[string]string `json:"weights,omitempty"`
	Rule       string            `json:"rule"`
	Guard      string            `json:"guard,omitempty"`
	Quoted     []string          `json:"quoted,omitempty"`
	RetryAfter int               `json:"retry_after,omitempty"` // seconds
	Error      string            `json:"error,omitempty"`
}

// classifyLines writes exactly one object for each line, at once, so that both ends may be programs that wait for each other.
func classifyLines(rules *classify.Rules, defaults classify.Query, in io.Reader, out io.Writer) error {
	reader, encoder := bufio.NewReaderSize(in, maxReplyLine), json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for {
		line, err := readLine(reader)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := encoder.Encode(classifyLine(rules, defaults, line)); err != nil {
			return err
		}
	}
}

// readLine returns a line without its end. Of a line that is too long it gives the beginning.
func readLine(r *bufio.Reader) (string, error) {
	piece, err := r.ReadSlice('\n')
	line := string(piece)
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = r.ReadSlice('\n')
	}
	if err != nil && (!errors.Is(err, io.EOF) || line == "") {
		return "", err
	}
	return strings.TrimRight(line, "\r\n"), nil
}

func classifyLine(rules *classify.Rules, q classify.Query, line string) verdictLine {
	q.Text = line
	if strings.HasPrefix(line, "{") {
		object := replyLine{
			Phase: string(q.Phase), Provider: q.Provider, IP: q.SendingIP, Sender: q.Sender, Recipient: q.Recipient, EHLO: slices.Clone(q.EHLO),
			Subject: q.Subject,
		}
		decoder := json.NewDecoder(bytes.NewReader([]byte(line)))
		if err := decoder.Decode(&object); err != nil {
			return verdictLine{Class: classify.PolicyUnspecified.String(), Scope: "unknown", Suspend: "no", Lists: []string{}, Error: err.Error()}
		}
		q = classify.Query{
			Text: object.Reply, Phase: classify.Phase(object.Phase), Provider: object.Provider, SendingIP: object.IP, Sender: object.Sender,
			Recipient: object.Recipient, EHLO: object.EHLO, Subject: object.Subject,
		}
	}
	v := rules.Classify(q)
	written := verdictLine{
		Class: v.Class.String(), Scope: v.Scope.String(), Suspend: v.Suspend.String(), Only: v.Only, Lists: []string{}, Rule: v.Rule,
		Guard: v.Guard, Quoted: quoted(v), RetryAfter: int(v.RetryAfter / time.Second),
	}
	for _, l := range v.Lists {
		if written.Weights == nil {
			written.Weights = map[string]string{}
		}
		written.Lists, written.Weights[l.Name] = append(written.Lists, l.Name), l.Weight.String()
	}
	return written
}
