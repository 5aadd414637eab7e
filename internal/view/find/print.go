package find

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"kanmon/internal/event"
)

// Columns of a terminal that a mail is written for.
const (
	columns    = 80
	labelWidth = 12
	barWidth   = 44
)

// Labels of what is written of a mail.
var (
	labelMail     = text{"mail", "メール"}
	labelTenant   = text{"tenant", "テナント"}
	labelFrom     = text{"from", "差出人"}
	labelTo       = text{"to", "宛先"}
	labelIDs      = text{"ids", "識別子"}
	labelAttempt  = text{"attempt %d", "%d回目の試行"}
	labelWay      = text{"way", "経路"}
	labelSession  = text{"session", "セッション"}
	labelAt       = text{"ended at", "終了段階"}
	labelReply    = text{"reply", "応答"}
	labelMeaning  = text{"meaning", "意味"}
	labelWhose    = text{"whose", "原因側"}
	labelLists    = text{"list", "リスト"}
	labelBut      = text{"but not to", "不達の宛先"}
	labelSuspect  = text{"suspicion", "疑わしさ"}
	labelDid      = text{"did", "処理"}
	labelPolicy   = text{"TLS policy", "TLSポリシー"}
	labelDo       = text{"do", "対応"}
	labelNote     = text{"note", "注意"}
	labelTook     = text{"%s in %s", "%s、所要 %s"}
	labelQueueID  = text{"queue id %s", "キューID %s"}
	labelOfMSA    = text{" of %s", "（%s）"}
	labelMXID     = text{"queue id %s of the MX", "MXの受付ID %s"}
	labelOwn      = text{", by a reply of kanmon's own", "（kanmon自身の応答）"}
	labelPool     = text{" (pool %s)", "（プール %s）"}
	labelProvider = text{" (%s)", "（%s）"}
	labelTwice    = text{", %d times", "（%d回）"}
	labelOthers   = text{"and %d others", "ほか%d件"}
	labelDrip     = text{" in drops", " 小刻みな応答"}
	labelMute     = text{" no reply", " 応答なし"}
	labelNoReply  = text{"none", "なし"}
	labelAccount  = text{", account %s", "、アカウント %s"}
	labelWayTo    = text{"%s to %s", "%s から %s へ"}
)

// Outcomes and fates, for people.
var outcomeTexts = map[string]text{
	"delivered":  {"delivered", "配送済み"},
	"refused":    {"refused", "拒否"},
	"deferred":   {"deferred", "一時拒否"},
	"reset":      {"given up by the MSA", "送信側が中止"},
	"aborted":    {"cut before the end", "途中で打ち切り"},
	"withheld":   {"not sent: the MSA had gone", "未送信（送信側が切断）"},
	"ambiguous":  {"unclear", "不明"},
	"orphan_ack": {"delivered, MSA not told", "配送済み（送信側に未通知）"},
	"none":       {"not known", "不明"},
	"unknown":    {"unclear", "不明"},
	"not_sent":   {"not sent", "未送信"},
}

// Outcome says an outcome, or a fate, as records name it.
func (t Teller) Outcome(word string) string {
	if said, is := outcomeTexts[word]; is {
		return said.in(t.Lang)
	}
	return word
}

// A printer writes lines of a label and a text, fit for a terminal, folded.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(line string) {
	if p.err == nil {
		_, p.err = fmt.Fprintln(p.w, strings.TrimRight(line, " "))
	}
}

// row writes what may be long. Strangers' lines stay lines: each is made printable by itself, and not folded.
func (p *printer) row(indent int, label, text string, fold bool) {
	lead := strings.Repeat(" ", indent) + pad(label, labelWidth)
	if Width(label) >= labelWidth {
		lead = strings.Repeat(" ", indent) + label + "  "
	}
	rest := strings.Repeat(" ", indent+labelWidth)
	for line := range strings.SplitSeq(text, "\n") {
		line = event.Printable(line, maxPrinted)
		if fold {
			line = Fold(line, columns-Width(rest))
		}
		for piece := range strings.SplitSeq(line, "\n") {
			p.line(lead + piece)
			lead = rest
		}
	}
}

// maxPrinted is how much of a line of a stranger's is shown: a record has no longer one.
const maxPrinted = 8 << 10

func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(1, width-Width(text)))
}

// Print writes a mail for a terminal of 80 columns, without colours.
func (t Teller) Print(w io.Writer, m *Told) error {
	p := &printer{w: w}
	p.line(Fold(event.Printable(m.Sentence, maxPrinted), columns))
	p.line("")
	p.row(0, labelMail.in(t.Lang), m.ID, false)
	if m.Tenant != "" {
		account := ""
		if m.Account != "" && m.Account != m.Sender {
			account = labelAccount.in(t.Lang, m.Account)
		}
		p.row(0, labelTenant.in(t.Lang), m.Tenant+account, false)
	}
	p.row(0, labelFrom.in(t.Lang), cmp.Or(m.Sender, "<>"), false)
	t.printRecipients(p, m.Recipients)
	if ids := t.ids(m); ids != "" {
		p.row(0, labelIDs.in(t.Lang), ids, false)
	}
	for _, note := range m.Notes {
		p.row(0, labelNote.in(t.Lang), note, true)
	}
	longest := 0.0
	for i := range m.Attempts {
		for _, s := range m.Attempts[i].Steps {
			longest = max(longest, s.Seconds)
		}
	}
	for i := range m.Attempts {
		p.line("")
		t.printTry(p, &m.Attempts[i], longest)
	}
	return p.err
}

func (t Teller) printRecipients(p *printer, all []ToldRecipient) {
	const most = 20
	label := labelTo.in(t.Lang)
	for _, r := range all[:min(len(all), most)] {
		fate := t.Outcome(r.Fate)
		if r.Times > 1 {
			fate += labelTwice.in(t.Lang, r.Times)
		}
		p.row(0, label, r.Address+"  "+fate, false)
		label = ""
	}
	if left := len(all) - most; left > 0 {
		p.row(0, label, labelOthers.in(t.Lang, left), false)
	}
}

func (t Teller) ids(m *Told) string {
	var ids []string
	if m.QueueID != "" {
		id := labelQueueID.in(t.Lang, m.QueueID)
		if m.MSA != "" {
			id += labelOfMSA.in(t.Lang, m.MSA)
		}
		ids = append(ids, id)
	}
	if m.MessageID != "" {
		ids = append(ids, "Message-ID <"+m.MessageID+">")
	}
	return strings.Join(ids, "\n")
}

func (t Teller) printTry(p *printer, y *ToldTry, longest float64) {
	p.line(fmt.Sprintf("%s  %s  %s", labelAttempt.in(t.Lang, y.Number), t.stamp(y.At), labelTook.in(t.Lang, t.Outcome(y.Outcome), seconds(y.Took))))
	from, to := cmp.Or(y.SendingIP, "?"), y.MX
	if y.Pool != "" {
		from += labelPool.in(t.Lang, y.Pool)
	}
	if y.Provider != "" {
		to += labelProvider.in(t.Lang, y.Provider)
	}
	p.row(2, labelWay.in(t.Lang), labelWayTo.in(t.Lang, from, to), false)
	p.row(2, labelSession.in(t.Lang), y.Session, false)
	for _, s := range y.Steps {
		p.line(t.bar(s, longest))
	}
	if y.Phase != "" {
		own := ""
		if y.Local {
			own = labelOwn.in(t.Lang)
		}
		p.row(2, labelAt.in(t.Lang), y.Phase+own, false)
	}
	p.row(2, labelReply.in(t.Lang), cmp.Or(y.Reply, labelNoReply.in(t.Lang)), false)
	if y.MXQueueID != "" {
		p.row(2, "", labelMXID.in(t.Lang, y.MXQueueID), false)
	}
	p.row(2, labelMeaning.in(t.Lang), y.Meaning, true)
	p.row(2, labelWhose.in(t.Lang), y.WhoseText, true)
	for _, l := range y.Lists {
		p.row(2, labelLists.in(t.Lang), strings.TrimSpace(l.Name+" "+l.Delist), false)
	}
	for i := range y.Parts {
		t.printPart(p, &y.Parts[i])
	}
	for i := range y.Policies {
		policy := &y.Policies[i]
		p.row(2, labelPolicy.in(t.Lang), policy.Text, true)
		if policy.Detail != "" {
			p.row(2, "", policy.Detail, true)
		}
	}
	if y.Suspicion != "" {
		p.row(2, labelSuspect.in(t.Lang), y.Suspicion, true)
	}
	for _, d := range y.Did {
		p.row(2, labelDid.in(t.Lang), d.Text, true)
	}
	p.row(2, labelDo.in(t.Lang), y.Advice, true)
	if y.Gone != "" {
		p.row(2, labelNote.in(t.Lang), y.Gone, true)
	}
}

// printPart writes what some recipients were told.
func (t Teller) printPart(p *printer, part *ToldPart) {
	const few = 3
	whom := strings.Join(part.Recipients[:min(few, len(part.Recipients))], ", ")
	if left := len(part.Recipients) - few; left > 0 {
		whom += " " + labelOthers.in(t.Lang, left)
	}
	p.row(2, labelBut.in(t.Lang), whom, false)
	p.row(4, labelReply.in(t.Lang), part.Reply, false)
	p.row(4, labelMeaning.in(t.Lang), part.Meaning, true)
	p.row(4, labelWhose.in(t.Lang), part.WhoseText, true)
	p.row(4, labelDo.in(t.Lang), part.Advice, true)
}

// bar draws how long a step took, all of a mail on one scale.
func (t Teller) bar(s ToldStep, longest float64) string {
	n := 0
	if longest > 0 {
		n = int(s.Seconds/longest*barWidth + 0.5)
	}
	bar := strings.Repeat("#", max(n, 1))
	how := ""
	switch {
	case s.Drip:
		how = labelDrip.in(t.Lang)
	case s.Mute:
		how = labelMute.in(t.Lang)
	}
	return fmt.Sprintf("    %-10s %8s  %s%s", s.Name, seconds(s.Seconds), bar, how)
}

// seconds writes a short time with as many digits as matter.
func seconds(s float64) string {
	switch {
	case s < 0.0995:
		return fmt.Sprintf("%.0f ms", s*1000)
	case s < 10:
		return fmt.Sprintf("%.2f s", s)
	case s < 100:
		return fmt.Sprintf("%.1f s", s)
	default:
		return fmt.Sprintf("%.0f s", s)
	}
}
