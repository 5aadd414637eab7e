package daemon

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// toMX dials an MX of smtptest. It is the way of sessions that only observe.
type toMX struct{ mx *smtptest.MX }

func (d toMX) Enter(session.Origin) session.Way                             { return d }
func (d toMX) MayStay(session.DialRequest, netip.Addr) (stays session.Stay) { return stays }
func (d toMX) MayAdd(netip.Addr) (stays session.Stay)                       { return stays }
func (d toMX) Judge(session.MXRefusal) (none session.Judgement)             { return none }
func (d toMX) Accepted(netip.Addr)                                          {}
func (d toMX) Close()                                                       {}

func (d toMX) Dial(context.Context, session.DialRequest) (session.Outbound, error) {
	near, far := smtptest.Pair(netip.MustParseAddrPort("203.0.113.10:50000"), netip.MustParseAddrPort("192.0.2.25:25"))
	go d.mx.ServeConn(far)
	return session.Outbound{Conn: near, Name: "out10.example.jp"}, nil
}

// What sessions learn of an MX's TLS is what an operator is shown.
func TestMXIsShownAsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &Daemon{live: new(session.Live)}
		o := &operator{d}
		mx := &smtptest.MX{Keywords: []string{"STARTTLS"}, Reply: func(verb string, _ int) string {
			if verb == "STARTTLS" {
				return "220 2.0.0 Ready\r\n" + smtptest.Delay(time.Second) + smtptest.CloseConn
			}
			return smtptest.Default
		}}
		engine := session.Engine{Ways: toMX{mx}, Observe: true, Live: d.live, Log: slog.New(slog.DiscardHandler)}
		origin := session.Origin{Source: netip.MustParseAddrPort("10.20.1.5:40000"), Destination: netip.MustParseAddrPort("192.0.2.25:25")}
		addr := origin.Destination.Addr()
		if got := o.MX(addr); got.Known || got.MX != addr {
			t.Errorf("before the first session: %+v", got)
		}
		for range 3 {
			msa, near := smtptest.Pair(origin.Source, origin.Destination)
			go engine.Serve(near, origin)
			_, _ = io.WriteString(msa, "EHLO msa.example.com\r\n")
			time.Sleep(2 * time.Minute)
			_ = msa.Close()
			time.Sleep(time.Minute)
		}
		got := o.MX(addr)
		if !got.Known || got.Strikes != 3 || got.ClassicalCause != admin.ClassicalFailed || !time.Now().Before(got.PlainUntil) || got.Tester != "" ||
			len(got.Failures) != 4 || got.Failures[0].Phase != "handshake" || got.Failures[0].Cause == "" || !got.TLSWorked.IsZero() {
			t.Errorf("%+v", got)
		}
		time.Sleep(time.Hour)
	})
}
