package session_test

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// A played is what a session asks and tells: its dialler, mover, judge, gate and recorder are those of a dialogue.
type played struct{ *smtptest.Dialogue }

// all has the dialogue decide everything.
func (p played) all(e *testEngine) {
	e.Observe = false
	e.Judge, e.Mover, e.Gate, e.Recorder = playedJudge{p}, p, playedGate{p}, p
}

// Dialogues in which the MX refuses a sending IP of several, and what is judged of that.
func TestDialoguesOfRescues(t *testing.T) { runDialogues(t, "testdata/rescue", played.all) }

// Dialogues in which a mail is to leave from another sending IP than the one at hand.
func TestDialoguesOfMoves(t *testing.T) { runDialogues(t, "testdata/move", played.all) }

// Dialogues in which the domains of recipients ask the MX to prove who it is.
func TestDialoguesOfTrust(t *testing.T) {
	runDialogues(t, "testdata/trust", func(p played, e *testEngine) {
		p.all(e)
		e.Trust = playedTrust{p}
	})
}

// Dialogues in which the content of messages is judged.
func TestDialoguesOfContent(t *testing.T) { runDialogues(t, "testdata/content", played.all) }

// Dialogues in which the gate has something against a mail.
func TestDialoguesOfTheGate(t *testing.T) { runDialogues(t, "testdata/gate", played.all) }

// The example in the language's own documentation is one.
func TestExampleOfADialogue(t *testing.T) {
	page, err := os.ReadFile("../smtp/smtptest/doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(page), "// # An example\n")
	var lines []string
	for line := range strings.Lines(example) {
		if text, ok := strings.CutPrefix(line, "//\t"); ok {
			lines = append(lines, text)
		}
	}
	folder := t.TempDir()
	if err := os.WriteFile(folder+"/example.txt", []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	runDialogues(t, folder, played.all)
}

var legNames = [smtptest.Legs]string{"mx", "mx2", "mx3"}

// legIP is the sending IP of a leg.
func legIP(leg int) netip.Addr { return netip.AddrFrom4([4]byte{203, 0, 113, byte(10 + leg)}) }

// legOf is the name of the leg that a sending IP has.
func legOf(ip netip.Addr) string {
	if !ip.IsValid() {
		return "none"
	}
	return legNames[ip.As4()[3]-10]
}

// requestWords is a request for a leg as the lines of a dialogue have it.
func requestWords(req session.DialRequest) []string {
	words := addressWords(req.SenderKnown, req.Sender, req.Recipient != "", req.Recipient, req.Pool)
	var avoid []string
	for _, ip := range req.Avoid {
		avoid = append(avoid, legOf(ip))
	}
	if len(avoid) > 0 {
		words = append(words, "avoid="+strings.Join(avoid, ","))
	}
	return append(words, named(map[string]bool{"rescue": req.Rescue, "further": req.Further, "same": req.From.IsValid()})...)
}

func addressWords(senderKnown bool, sender string, rcptKnown bool, rcpt, pool string) (words []string) {
	if senderKnown {
		words = append(words, "from="+sender)
	}
	if rcptKnown {
		words = append(words, "to="+rcpt)
	}
	if pool != "" {
		words = append(words, "pool="+pool)
	}
	return words
}

// named gives the names of what is so.
func named(facts map[string]bool) []string {
	maps.DeleteFunc(facts, func(_ string, is bool) bool { return !is })
	return slices.Sorted(maps.Keys(facts))
}

// Dial implements session.Way.
func (p played) Dial(ctx context.Context, req session.DialRequest) (session.Outbound, error) {
	call := p.Dialogue.Dial(ctx, requestWords(req)...)
	if call.Leg < 0 {
		return session.Outbound{}, map[string]error{
			"none": session.ErrNoOtherIP, "suspended": session.ErrSuspended, "absent": session.ErrNotOnHost, "portless": session.ErrPortsExhausted,
		}[call.Failed]
	}
	ip := legIP(call.Leg)
	if call.Same {
		ip = req.From
	}
	out := session.Outbound{SendingIP: ip, Name: fmt.Sprintf("out%d.example.jp", ip.As4()[3])}
	switch call.Failed {
	case "refused":
		return out, fmt.Errorf("dial: %w", syscall.ECONNREFUSED)
	case "silent":
		return out, fmt.Errorf("dial: %w", ctx.Err())
	}
	out.Conn = call.Conn
	return out, nil
}

// MayStay implements session.Way.
func (p played) MayStay(req session.DialRequest, ip netip.Addr) bool {
	return !p.Ask("mover", append(requestWords(req), legOf(ip))...).Has("move")
}

// Record implements session.Recorder.
func (p played) Record(r *event.Record) {
	defer r.Release()
	for _, l := range r.Lines {
		p.Tell(fmt.Sprintf("log %s %s", l.Mark, r.Text(l.Text)))
	}
	for _, a := range r.Actions {
		text := fmt.Sprintf("record %s %s %d", a.Did, a.Phase, a.Code)
		if a.Did == event.Rescued {
			text += " " + legOf(a.To)
		}
		p.Tell(text)
	}
	if r.Transaction != nil {
		for i := range r.Transaction.Recipients {
			if of := &r.Transaction.Recipients[i]; of.Trust != nil {
				p.Tell(fmt.Sprintf("record trust %s %s %s %s", r.Text(of.Address), of.Trust.Policy, of.Trust.Verdict, of.Trust.Why))
			}
		}
		if c := r.Transaction.Content; c != nil {
			p.Tell(strings.TrimSpace(fmt.Sprintf("record content %s %s %s", c.Lane, c.Verdict, c.Done)))
			p.Tell(fmt.Sprintf("record waited %s", c.Waited.Duration().Round(time.Second)))
		}
		if r.Transaction.Data.Local {
			p.Tell(fmt.Sprintf("record data %d by kanmon", r.Transaction.Data.Code))
		}
		if dot := &r.Transaction.Dot; dot.Code != 0 {
			p.Tell(fmt.Sprintf("record dot %d local=%t told=%d", dot.Code, dot.Local, dot.Told))
		}
		p.Tell("record mail " + r.Transaction.Outcome.String())
	}
	if r.End != nil {
		p.Tell("record end " + r.End.Reason)
	}
}

// playedJudge is the judge of a play.
type playedJudge struct{ played }

func (p playedJudge) Judge(r session.MXRefusal) session.Judgement {
	words := append([]string{r.Phase.String(), fmt.Sprint(r.Code), legOf(r.SendingIP)},
		addressWords(r.Sender != nil, string(r.Sender), r.Recipient != nil, string(r.Recipient), r.Pool)...)
	words = append(words, named(map[string]bool{"again": r.Again, "stuck": r.Stuck})...)
	if r.Domain != "" {
		words = append(words, "domain="+r.Domain)
	}
	a := p.Ask("judge", words...)
	j := session.Judgement{
		Rescue: a.Has("rescue"), Observe: a.Has("observe"), Class: event.PolicyUnspecified, Rule: a["rule"], Why: a["why"],
	}
	if a.Has("soften") {
		j.SoftenTo = session.Temporary(r.Code)
	}
	for word, value := range a {
		_ = readWord(&j, word, value) // the dialogue has looked
	}
	for leg, name := range legNames {
		for avoided := range strings.SplitSeq(a["avoid"], ",") {
			if avoided == name {
				j.Avoid = append(j.Avoid, legIP(leg))
			}
		}
	}
	return j
}

func (p playedJudge) Accepted(ip netip.Addr) { p.Tell("judge accepted " + legOf(ip)) }

// playedGate is the gate of a play.
type playedGate struct{ played }

func (p playedGate) Enter(session.Origin) session.Pass { return p }

func (p playedGate) Ask(q session.Question) session.Decision {
	if q.Step == event.StepContent {
		return session.Decision{Inspect: p.inspect(q)}
	}
	words := []string{q.Step.String()}
	switch q.Step {
	case event.StepMail:
		words = append(words, "from="+q.Sender, fmt.Sprintf("size=%d", q.Size))
	case event.StepLeave:
		words = append(words, legOf(q.SendingIP))
	case event.StepRecipient:
		words = append(words, "to="+q.Recipient)
	case event.StepAccount:
		words = append(words, "fields="+fieldTexts(q.Fields))
	}
	words = append(words, named(map[string]bool{"instead": q.Instead})...)
	a := p.played.Ask("gate", words...)
	d := session.Decision{Again: a.Has("again"), Pool: a["pool"], Header: a["header"], Strip: a.Has("strip"), Must: a.Has("must")}
	d.Delay, _ = time.ParseDuration(a["delay"]) // the dialogue has looked
	switch {
	case a.Has("defer"):
		d.Refuse, d.Say = session.RefuseNow, tooMuch.Say
	case a.Has("reject"):
		d.Refuse, d.Say = session.RefuseForGood, tooMuch.Say
	}
	return d
}

func (p playedGate) Tell(n session.News) { p.played.Tell("gate " + newsText(n)) }

func (p playedGate) Close() { p.played.Tell("gate closed") }

// readWord reads the value of a word that the judge says.
func readWord(j *session.Judgement, word, value string) error {
	switch word {
	case "class":
		return j.Class.UnmarshalText([]byte(value))
	case "scope":
		return j.Scope.UnmarshalText([]byte(value))
	case "policy":
		return new(event.TrustPolicy).UnmarshalText([]byte(value))
	case "soften_to":
		code, err := strconv.Atoi(value)
		j.SoftenTo = code
		return err
	}
	return nil
}

// checkWord looks at the value of a word where a dialogue is read.
func checkWord(word, value string) error { return readWord(new(session.Judgement), word, value) }
