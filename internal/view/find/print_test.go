package find

import (
	"strings"
	"testing"
	"unicode"

	"kanmon/internal/view/history"
)

// Nothing that strangers wrote acts on a terminal, in any place where it is printed; a reply keeps its lines.
func TestNothingActsOnATerminal(t *testing.T) {
	const evil = "\x1b]0;x\a\x1b[2J\u202eevil\u200b\r\x00"
	a := attempt(0, "refused", "refused", history.Reply{Code: 550, Text: "550-one" + evil + "\n550 two", Phase: "rcpt" + evil, Class: "recipient_invalid"})
	a.Sender, a.Account, a.Tenant, a.Pool, a.Provider, a.MessageID, a.QueueID, a.MXQueueID = evil, evil+"a", evil, evil, evil, evil, evil, evil
	a.Recipients[0].Address = evil + "@example.net"
	for l := English; l < langCount; l++ {
		told := Teller{Lang: l}.Tell(detail(t, mailOf(history.Refused, a)))
		var out strings.Builder
		if err := (Teller{Lang: l}).Print(&out, &told); err != nil {
			t.Fatal(err)
		}
		for _, r := range out.String() {
			if r != '\n' && !unicode.IsPrint(r) && r != '　' {
				t.Errorf("%s: %U in\n%q", l, r, out.String())
				break
			}
		}
		if !strings.Contains(out.String(), "550-one") || !strings.Contains(out.String(), "\n"+strings.Repeat(" ", 2+labelWidth)+"550 two\n") {
			t.Errorf("the reply's lines are not there:\n%s", out.String())
		}
	}
}
