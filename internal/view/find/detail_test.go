package find

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// oneSession is a history that has one session.
type oneSession struct {
	history.Store
	lines []event.Entry
}

func (s oneSession) Session(context.Context, event.ID) ([]event.Entry, error) { return s.lines, nil }

// Where no sending IP is configured, what is told is the address that the kernel has chosen, as the record has it.
func TestWithoutSendingIPsTheKernelsChoiceIsTold(t *testing.T) {
	a := attempt(0, "refused", "refused", refused)
	a.SendingIP = netip.Addr{}
	f := finder(t)
	f.Store = oneSession{lines: []event.Entry{{Type: "transaction", Gateway: "gw1", Run: "1", Number: 1, Local: netip.MustParseAddrPort("192.0.2.77:40001")}}}
	d, err := f.Detail(t.Context(), mailOf(history.Refused, a))
	if err != nil {
		t.Fatal(err)
	}
	if told := (Teller{}).Tell(d); told.Attempts[0].SendingIP != "192.0.2.77" {
		t.Errorf("told is %q", told.Attempts[0].SendingIP)
	}
	if letter := (Teller{}).ForPostmaster(d, nil); !strings.Contains(letter, "Sending IP: 192.0.2.77") {
		t.Errorf("the letter has no address:\n%s", letter)
	}
}
