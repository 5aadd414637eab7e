package outlet

import (
	"kanmon/internal/outlet/classify"
	"kanmon/internal/session"
)

// readReply says what a refusal means. One that blames our IP with words that stand in the message itself does not, and one that may repeat
// what is not kept of the message is doubtful.
func (o *Outlet) readReply(r *session.MXRefusal, provider string) classify.Verdict {
	v := o.readKnown(r, provider)
	if r.Partial && v.Suspend == classify.Yes {
		v.Suspend = classify.May
	}
	return v
}

// readKnown is readReply as far as the message is known.
func (o *Outlet) readKnown(r *session.MXRefusal, provider string) classify.Verdict {
	q := replyQuery(r, provider)
	v := o.rules.Classify(q)
	if v.Suspend == classify.No || r.Message == nil {
		return v
	}
	text, found := classify.WithoutRepeated(q.Text, classify.Decoded(r.Message()))
	if !found {
		return v
	}
	q.Text = text
	if without := o.rules.Classify(q); without.Suspend < v.Suspend {
		return without
	}
	return v
}

// replyQuery returns a refusal to classify, with what the session has said: where the reply repeats it, it is no evidence (I20).
func replyQuery(r *session.MXRefusal, provider string) classify.Query {
	return classify.Query{
		Text: string(r.Text), Phase: classify.Phase(r.Phase.String()), Provider: provider, SendingIP: publicOnly(r.SendingIP),
		Sender: string(r.Sender), Recipient: string(r.Recipient), EHLO: r.EHLO[:], Subject: r.Subject, Said: r.Said,
	}
}
