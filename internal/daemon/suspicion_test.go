package daemon

import (
	"fmt"
	"testing"

	"kanmon/internal/event"
	"kanmon/internal/smtp/smtptest"
)

const suspected = listenTable + `[[sending_ip]]
address = "127.0.0.11"
ehlo    = "out11.example.jp"
[[sending_ip]]
address = "127.0.0.12"
ehlo    = "out12.example.jp"
[pool.default]
ips = ["127.0.0.11"]
[pool.doubtful]
ips       = ["127.0.0.12"]
high_risk = true
[[route]]
suspicion_min = 0.3
pool          = "doubtful"
[journal]
records = "DIR/records.jsonl"
`

// Through a running kanmon: a route with suspicion_min moves mail of an account that writes to many who do not exist, within a session, and
// other accounts' mail stays where it is, and the records say why.
func TestSuspicionMovesMail(t *testing.T) {
	w := newWorldWith(t, &smtptest.MX{Reply: func(verb string, n int) string {
		if verb == "RCPT" && n%2 == 1 { // the first of each mail
			return "550 5.1.1 no such user\r\n"
		}
		return smtptest.Default
	}}, suspected)
	w.start()
	msa := w.session()
	for i := range 24 {
		msa.Deliver("thief@acme.example", []string{fmt.Sprintf("gone%d@example.net", i), fmt.Sprintf("there%d@example.net", i)}, []byte("Subject: x\r\n\r\nx\r\n"), true)
	}
	msa.Deliver("honest@acme.example", []string{"gone@example.net", "there@example.net"}, []byte("Subject: x\r\n\r\nx\r\n"), true)
	_ = msa.Quit()
	w.stop()

	from := map[string][]string{}
	var last *event.Entry
	for _, e := range w.entries(t, "records.jsonl") {
		if e.Type == "transaction" {
			from[e.Sender] = append(from[e.Sender], e.SendingIP.String())
			if e.Suspicion == nil {
				t.Errorf("mail %d of %s says nothing", e.Number, e.Sender)
			}
			if e.Sender == "thief@acme.example" {
				last = e
			}
		}
	}
	thief := from["thief@acme.example"]
	if len(thief) != 24 || thief[0] != "127.0.0.11" || thief[23] != "127.0.0.12" {
		t.Fatalf("the thief's mail leaves from %v", thief)
	}
	moved := 0
	for thief[moved] != "127.0.0.12" {
		moved++
	}
	t.Logf("moved with mail %d; the last one: %s", moved+1, last.Suspicion.Says())
	if last.Pool != "doubtful" || last.Suspicion.Score < 0.3 {
		t.Errorf("pool %s: %s", last.Pool, last.Suspicion.Says())
	}
	if honest := from["honest@acme.example"]; len(honest) != 1 || honest[0] != "127.0.0.11" {
		t.Errorf("honest mail leaves from %v", honest)
	}
}
