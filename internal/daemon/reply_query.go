package daemon

import (
	"kanmon/internal/classify"
	"kanmon/internal/session"
)

// replyQuery gives a refusal to classify, with what the session has said: where the reply repeats it, it is no evidence (I20).
func replyQuery(r *session.MXRefusal, provider string) classify.Query {
	return classify.Query{
		Text: string(r.Text), Phase: classify.Phase(r.Phase.String()), Provider: provider, SendingIP: publicOnly(r.SendingIP),
		Sender: string(r.Sender), Recipient: string(r.Recipient), EHLO: r.EHLO[:], Subject: r.Subject, Said: r.Said,
	}
}
