package session

import (
	"net"
	"reflect"
	"testing"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
)

// TestLegIsTakenBackWhole: whatever another MX leg says and is told meanwhile, of the one that was set aside nothing has changed.
func TestLegIsTakenBackWhole(t *testing.T) {
	s := &session{e: new(Engine), mx: mxLeg{leg: newLeg(endless{})}}
	ehlo := smtp.NewReply(250, "", "mx.example\nSIZE 1000\nLIMITS RCPTMAX=5 MAILMAX=7\nPIPELINING")
	parseEHLO(&ehlo, &s.mx.caps, new(oddWords))
	s.mx.reply = smtp.NewReply(550, "5.7.1", "your address is on a list")
	s.mx.sent, s.mx.first, s.mx.took, s.mx.came = 1, 2, 3, 4
	s.mx.stage, s.mx.ehloSaid, s.mx.shut, s.mx.toMail = stageReady, true, shutNoTLS, &replyNoTLS
	s.mx.info = event.Leg{Number: 1, HeloMX: "kanmon.example"}
	before := s.mx
	before.reply = s.mx.reply.Clone()

	s.setAside()
	if !reflect.DeepEqual(s.mx, mxLeg{}) {
		t.Errorf("the leg in its place begins with %+v", s.mx)
	}
	other := smtp.NewReply(250, "", "another.example\nSIZE 1\nDSN")
	s.mx.reply = other
	parseEHLO(&s.mx.reply, &s.mx.caps, new(oddWords))
	copy(ehlo.Text(), "overwritten by what the next reply is read into, of which the one before has lent its memory")
	s.mx.stage, s.mx.info.Number = stageHello, 2

	s.takeBack()
	if !reflect.DeepEqual(s.mx, before) || s.held != nil {
		t.Errorf("taken back as\n%+v\nwant\n%+v", s.mx, before)
	}
}

// endless is a connection that nothing comes from.
type endless struct{ net.Conn }

func (endless) Close() error { return nil }
