package find

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// A Told is a mail, said to people.
type Told struct {
	ID         string            `json:"id"`
	State      history.MailState `json:"state"`
	Sentence   string            `json:"sentence"`
	Notes      []string          `json:"notes,omitempty"`
	Probably   bool              `json:"probably"` // no id ties its attempts together, or found it
	Tenant     string            `json:"tenant,omitempty"`
	Account    string            `json:"account,omitempty"`
	Sender     string            `json:"sender"`
	Recipients []ToldRecipient   `json:"recipients"`
	MessageID  string            `json:"message_id,omitempty"`
	QueueID    string            `json:"msa_queue_id,omitempty"`
	MSA        string            `json:"msa,omitempty"`
	Received   *time.Time        `json:"msa_received,omitempty"`
	First      time.Time         `json:"first"`
	Last       time.Time         `json:"last"`
	Tries      int               `json:"tries"`
	Attempts   []ToldTry         `json:"attempts"`
}

// A ToldRecipient is what has become of one recipient so far.
type ToldRecipient struct {
	Address string `json:"address"`
	Fate    string `json:"fate"`
	Times   int    `json:"delivered_times"`
	perhaps int
}

// A ToldTry is one attempt.
type ToldTry struct {
	Number     int             `json:"number"` // of all of the mail
	Session    string          `json:"session"`
	Gateway    string          `json:"gateway"`
	Start      time.Time       `json:"start"`
	At         time.Time       `json:"at"`
	SendingIP  string          `json:"sending_ip,omitempty"`
	Pool       string          `json:"pool,omitempty"`
	Provider   string          `json:"provider,omitempty"`
	MX         string          `json:"mx"`
	Outcome    string          `json:"outcome"`
	Reply      string          `json:"reply,omitempty"`
	Code       int             `json:"code,omitempty"`
	Enhanced   string          `json:"enhanced,omitempty"`
	Phase      string          `json:"phase,omitempty"`
	Class      string          `json:"class,omitempty"`
	Scope      string          `json:"scope,omitempty"`
	Rule       string          `json:"rule,omitempty"`
	Local      bool            `json:"local"` // kanmon's own reply
	Meaning    string          `json:"meaning"`
	Whose      Fault           `json:"whose"`
	WhoseText  string          `json:"whose_text"`
	Advice     string          `json:"advice"`
	Lists      []ToldList      `json:"lists,omitempty"`
	Did        []ToldDeed      `json:"did,omitempty"`
	Steps      []ToldStep      `json:"steps,omitempty"`
	Took       float64         `json:"took_seconds"`
	TLS        string          `json:"tls,omitempty"`
	MXQueueID  string          `json:"mx_queue_id,omitempty"`
	Suspicion  string          `json:"suspicion,omitempty"` // what spoke against it before its content was known, with its parts
	Octets     int64           `json:"octets"`
	Recipients []ToldRecipient `json:"recipients"`
	More       int             `json:"more_recipients,omitempty"`
	Parts      []ToldPart      `json:"parts,omitempty"`
	Policies   []ToldPolicy    `json:"tls_policies,omitempty"`
	Gone       string          `json:"gone,omitempty"` // that details are no more kept
}

// A ToldPart is what some recipients were told beside the reply that decided.
type ToldPart struct {
	Recipients []string `json:"recipients"`
	Reply      string   `json:"reply"`
	Code       int      `json:"code"`
	Enhanced   string   `json:"enhanced,omitempty"`
	Class      string   `json:"class,omitempty"`
	Rule       string   `json:"rule,omitempty"`
	Local      bool     `json:"local"`
	Meaning    string   `json:"meaning"`
	Whose      Fault    `json:"whose"`
	WhoseText  string   `json:"whose_text"`
	Advice     string   `json:"advice"`
}

// A ToldList is a block list that a refusal names.
type ToldList struct {
	Name   string `json:"name"`
	Delist string `json:"delist,omitempty"`
}

// A ToldDeed is what kanmon did.
type ToldDeed struct {
	At     *time.Time `json:"at,omitempty"`
	Action string     `json:"action"`
	Text   string     `json:"text"`
}

// A ToldStep is a phase, or a wait.
type ToldStep struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
	Drip    bool    `json:"drip,omitempty"`
	Mute    bool    `json:"no_reply,omitempty"`
}

// A Teller says things in a language, with the times of a place.
type Teller struct {
	Lang Lang
	In   *time.Location // nil: UTC
}

// Tell says what is known of a mail.
func (t Teller) Tell(d *Detail) Told {
	told := t.mail(&d.Mail)
	if d.Before > 0 {
		told.Notes = append(told.Notes, notesEarlier.in(t.Lang, d.Before))
	}
	for i := range d.Each {
		try := t.try(&d.Each[i])
		try.Number = d.Before + i + 1
		told.Attempts = append(told.Attempts, try)
	}
	return told
}

// mail is all but the attempts.
func (t Teller) mail(m *Mail) Told {
	last := latest(m)
	told := Told{
		ID: m.ID, State: m.State, Sentence: t.Sentence(m), Probably: m.Probably || m.Guessed, Tenant: last.Tenant, Account: last.Account, Sender: last.Sender,
		Recipients: ordered(fates(m), m.Asked), MessageID: last.MessageID, QueueID: last.QueueID, First: m.First, Last: m.Last, Tries: m.Tries, Attempts: []ToldTry{},
	}
	if last.Source.IsValid() {
		told.MSA = last.Source.Addr().String()
	}
	if !last.Received.IsZero() {
		told.Received = &last.Received
	}
	if m.Asked != "" && len(told.Recipients) > 1 {
		told.Notes = append(told.Notes, notesAsked.in(t.Lang, m.Asked, t.Outcome(told.Recipients[0].Fate)))
	}
	told.Notes = append(told.Notes, t.twice(m)...)
	switch {
	case m.Unlike:
		told.Notes = append(told.Notes, notesUnlike.in(t.Lang))
	case m.Guessed:
		told.Notes = append(told.Notes, notesGuessed.in(t.Lang))
	}
	if m.Probably && m.Tries > 1 {
		told.Notes = append(told.Notes, notesProbably.in(t.Lang))
	}
	if last.More > 0 {
		told.Notes = append(told.Notes, notesMore.in(t.Lang, last.More))
	}
	return told
}

func (t Teller) try(y *Try) ToldTry {
	r := &y.Reply
	told := ToldTry{
		Session: fmt.Sprintf("%s-%d", y.Session, y.Number), Gateway: y.Gateway, Start: y.Start, At: y.At, SendingIP: ip(y.SendingIP), Pool: y.Pool, Provider: y.Provider,
		MX: ip(y.Destination.Addr()), Outcome: y.Outcome, Reply: r.Text, Code: r.Code, Enhanced: r.Enhanced, Phase: r.Phase, Class: r.Class, Scope: r.Scope, Rule: r.Rule,
		Local: r.Local, Took: y.Duration.Seconds(), TLS: y.TLS, MXQueueID: y.MXQueueID, Octets: y.Octets, More: y.More, Recipients: []ToldRecipient{},
	}
	told.Meaning, told.Whose, told.Advice = t.meaning(y), y.Sense.Whose, y.Sense.Advice(t.Lang)
	switch {
	case y.Outcome == "ambiguous":
		told.Whose, told.Advice = FaultReceiver, doesAmbiguous.in(t.Lang)
	case y.Outcome == "orphan_ack":
		told.Whose, told.Advice = FaultAccount, doesOrphan.in(t.Lang)
	case taken(y.Outcome) && y.Sense.Class == event.Unjudged:
		told.Whose, told.Advice = FaultNobody, classTexts[event.NoRefusal].do.in(t.Lang)
	}
	told.WhoseText = told.Whose.In(t.Lang)
	if y.Suspicion != nil {
		told.Suspicion = y.Suspicion.Says()
	}
	for _, l := range y.Sense.Lists {
		told.Lists = append(told.Lists, ToldList{l.Name, l.Delist})
	}
	for i := range y.Parts {
		p := &y.Parts[i]
		told.Parts = append(told.Parts, ToldPart{
			p.Recipients, p.Text, p.Code, p.Enhanced, p.Class, p.Rule, p.Local, p.Sense.Meaning(t.Lang), p.Sense.Whose, p.Sense.Whose.In(t.Lang), p.Sense.Advice(t.Lang),
		})
	}
	for i := range y.Policies {
		told.Policies = append(told.Policies, t.policy(&y.Policies[i]))
	}
	for _, rcpt := range y.Recipients {
		told.Recipients = append(told.Recipients, ToldRecipient{Address: rcpt.Address, Fate: rcpt.Fate})
	}
	for _, s := range y.Steps {
		told.Steps = append(told.Steps, ToldStep{s.Name, s.Took.Seconds(), s.Drip, s.Mute})
	}
	for i := range y.Deeds {
		told.Did = append(told.Did, t.deed(&y.Deeds[i]))
	}
	if y.Entry == nil {
		told.Gone = notesGone.in(t.Lang)
	}
	return told
}

// meaning is what the reply means that decided; of a mail that was taken, and of one whose end nobody knows, that.
func (t Teller) meaning(y *Try) string {
	switch {
	case y.Outcome == "ambiguous":
		return meansAmbiguous.in(t.Lang)
	case y.Outcome == "orphan_ack":
		return meansOrphan.in(t.Lang)
	case y.Sense.Class == event.Unjudged && y.Sense.Own == nil && taken(y.Outcome):
		return Meaning(event.NoRefusal, t.Lang)
	case y.Sense.Class == event.Unjudged && y.Sense.Own == nil && y.Entry != nil && y.Entry.Cause != "":
		return Meaning(event.Unjudged, t.Lang) + ": " + y.Entry.Cause
	default:
		return y.Sense.Meaning(t.Lang)
	}
}

var (
	meansAmbiguous = text{
		"the whole message was sent and no reply came: the receiver may have taken it",
		"本文をすべて送りましたが応答がありませんでした。受信側が受け取っている可能性があります",
	}
	meansOrphan = text{
		"the receiver took it, and the MSA had gone before it could be told: it sends it again",
		"受信側は受け取りましたが、結果を伝える前に送信側のメールサーバーが接続を切りました。再送されます",
	}
)

var (
	doesAmbiguous = text{
		"Ask the receiver's postmaster whether the message was taken. Nobody needs to send it again: its MSA does so by itself.",
		"受信側のポストマスターに、受け取ったかどうかを確認してください。送信側のサーバーが自動で再送するため、手動での再送は不要です。",
	}
	doesOrphan = text{
		"Look why the MSA hangs up before it has the answer: a time-out that is too short, a restart, or a firewall between.",
		"送信側のメールサーバーが応答を待たずに切断した理由（短すぎるタイムアウト、再起動、途中のファイアウォール）を確認してください。",
	}
)

func (t Teller) deed(d *Deed) ToldDeed {
	told := ToldDeed{Action: d.Action, Text: d.Action}
	if !d.At.IsZero() {
		told.At = &d.At
	}
	if as, is := deedTexts[d.Action]; is {
		cause := d.Cause
		if d.Rule != "" && cause != "" {
			cause = " (" + cause + ")"
		}
		told.Text = fmt.Sprintf(as[t.Lang]+"%[6]s", cmp.Or(ip(d.From), "-"), cmp.Or(ip(d.To), "-"), d.Rule, cause, t.span(d.Took), "")
		told.Text = strings.TrimRight(told.Text, ": ：")
	}
	return told
}

func ip(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// taken reports whether an outcome is that the MX took it.
func taken(outcome string) bool { return outcome == "delivered" || outcome == "orphan_ack" }

// stamp writes a time of day, with its zone: it is compared with other people's logs.
func (t Teller) stamp(at time.Time) string { return t.local(at).Format("2006-01-02 15:04:05 -07:00") }

func (t Teller) day(at time.Time) string { return t.local(at).Format("2006-01-02") }

func (t Teller) local(at time.Time) time.Time {
	if t.In == nil {
		return at.UTC()
	}
	return at.In(t.In)
}

var spanTexts = [...]struct {
	of   time.Duration
	unit text
}{
	{24 * time.Hour, text{"%d d", "%d日"}}, {time.Hour, text{"%d h", "%d時間"}}, {time.Minute, text{"%d min", "%d分"}}, {time.Second, text{"%d s", "%d秒"}},
}

// span writes a duration in its two largest units.
func (t Teller) span(d time.Duration) string {
	if exact := 10 * time.Second; d < exact && d >= time.Second && d%time.Second != 0 {
		return text{"%s s", "%s秒"}.in(t.Lang, strconv.FormatFloat(d.Seconds(), 'f', 1, 64))
	}
	var said []string
	for i, u := range spanTexts {
		if d < u.of || len(said) == 2 {
			continue
		}
		if len(said) == 0 && i < len(spanTexts)-1 {
			d = d.Round(spanTexts[min(i+1, len(spanTexts)-1)].of)
		}
		if n := int(d / u.of); n > 0 {
			said = append(said, u.unit.in(t.Lang, n))
			d %= u.of
		} else if len(said) > 0 {
			break
		}
	}
	switch {
	case len(said) > 0 && t.Lang == Japanese:
		return strings.Join(said, "")
	case len(said) > 0:
		return strings.Join(said, " ")
	default:
		return text{"%d ms", "%dミリ秒"}.in(t.Lang, d.Milliseconds())
	}
}
