package session

import (
	"fmt"
	"net"
	"testing"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
)

// TestLegIsTakenBackWhole: whatever another MX leg says and is told meanwhile, of the one that was set aside nothing has changed.
func TestLegIsTakenBackWhole(t *testing.T) {
	s := &session{e: &Engine{Live: new(Live)}, mx: mxLeg{leg: newLeg(endless{})}}
	ehlo := smtp.NewReply(250, "", "mx.example\nSIZE 1000\nLIMITS RCPTMAX=5 MAILMAX=7\nPIPELINING")
	parseEHLO(&ehlo, &s.mx.caps, new(oddWords))
	s.mx.reply = smtp.NewReply(550, "5.7.1", "your address is on a list")
	s.mx.sent, s.mx.first, s.mx.took, s.mx.came = 1, 2, 3, 4
	s.mx.stage, s.mx.ehloSaid, s.mx.shut, s.mx.toMail = stageReady, true, shutNoTLS, &replyNoTLS
	s.mx.info = event.Leg{Number: 1, HeloMX: "kanmon.example"}
	before := printed(&s.mx)

	s.setAside()
	if got := printed(&s.mx); got != printed(new(mxLeg)) {
		t.Errorf("the leg in its place begins with\n%s", got)
	}
	other := smtp.NewReply(250, "", "another.example\nSIZE 1\nDSN")
	s.mx.reply = other
	parseEHLO(&s.mx.reply, &s.mx.caps, new(oddWords))
	copy(ehlo.Text(), "overwritten by what the next reply is read into, of which the one before has lent its memory")
	s.mx.stage, s.mx.info.Number = stageHello, 2

	s.takeBack()
	if got := printed(&s.mx); got != before || s.held != nil {
		t.Errorf("taken back as\n%s\nwant\n%s", got, before)
	}
}

// printed is all that a leg has, field by field.
func printed(mx *mxLeg) string { return fmt.Sprintf("%#v", *mx) }

// endless is a connection that nothing comes from.
type endless struct{ net.Conn }

func (endless) Close() error { return nil }
