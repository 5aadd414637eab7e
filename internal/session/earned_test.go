package session_test

import (
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/smtptest"
)

// One reply, one judgement: what an MX says unasked while its leg is being opened, too, where both whoever reads it and whoever would try
// another sending IP want to know what it means. Told twice, one reply halves what the sending IP may take.
func TestOneReplyIsJudgedOnce(t *testing.T) {
	const goodbye = "421 4.7.0 too many connections from your IP\r\n" + smtptest.CloseConn
	for _, test := range []struct{ name, verb, reply string }{
		{"with the greeting", "BANNER", "220 mx.example.net ESMTP\r\n" + goodbye},
		{"as greeting", "BANNER", goodbye},
		{"in place of EHLO's reply", "EHLO", goodbye},
		{"with the reply to EHLO", "EHLO", "250-mx.example.net\r\n250 PIPELINING\r\n" + goodbye},
		{"to MAIL", "MAIL", goodbye},
		{"with the reply to MAIL", "MAIL", "250 ok\r\n" + goodbye},
		{"to RCPT", "RCPT", goodbye},
		{"to DATA", "DATA", goodbye},
		{"to the dot", ".", goodbye},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newTwoIPs()
				r.mx.Reply = refuseAt(test.verb, 1, test.reply)
				msa := r.msa(t)
				_ = msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), false)
				_ = msa.Quit()
				_ = msa.Conn().Close()
				time.Sleep(time.Hour)
				if len(r.judge.asked) != 1 || r.judge.asked[0].Code != 421 {
					t.Errorf("%d judgements of one reply: %+v", len(r.judge.asked), r.judge.asked)
				}
			})
		})
	}
}

