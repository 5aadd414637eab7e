package session

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"kanmon/internal/event"
)

// Each failure of TLS has a cause in one word. What crypto/tls says of certificates is seen with real servers in test/parity.
func TestEachFailureOfTLSHasACause(t *testing.T) {
	alert := func(a tls.AlertError) error { return &net.OpError{Op: "remote error", Err: a} }
	for _, c := range []struct {
		failed tlsFailure
		want   event.TLSCause
	}{
		{tlsFailure{cause: alert(40)}, event.TLSNothingInCommon},
		{tlsFailure{cause: alert(71)}, event.TLSNothingInCommon},
		{tlsFailure{cause: alert(70)}, event.TLSVersion},
		{tlsFailure{cause: alert(116)}, event.TLSClientCertificate},
		{tlsFailure{cause: alert(42)}, event.TLSClientCertificate},
		{tlsFailure{cause: alert(80)}, event.TLSAlert},
		{tlsFailure{cause: errors.New("tls: failed to parse certificate from server: x509: no")}, event.TLSCertificate},
		{tlsFailure{cause: errors.New("tls: server sent certificate containing RSA key larger than 8192 bits")}, event.TLSCertificate},
		{tlsFailure{cause: errors.New("tls: server's certificate contains an unsupported type of public key: int")}, event.TLSCertificate},
		{tlsFailure{cause: errors.New("tls: server selected unsupported protocol version 300")}, event.TLSVersion},
		{tlsFailure{cause: tls.RecordHeaderError{Msg: "no"}}, event.TLSForeign},
		{tlsFailure{cause: io.EOF}, event.TLSLost},
		{tlsFailure{cause: &net.OpError{Op: "read", Err: syscall.ECONNRESET}}, event.TLSLost},
		{tlsFailure{cause: errors.New("silence"), hung: true}, event.TLSSilent},
		{tlsFailure{cause: fmt.Errorf("%w with %d", errRefusesTLS, 454)}, event.TLSRefused},
		{tlsFailure{cause: errors.New("tls: invalid server finished hash")}, event.TLSOtherCause},
	} {
		if got := c.failed.why(); got != c.want {
			t.Errorf("%v: %s, want %s", c.failed.cause, got, c.want)
		}
	}
}

// Only MXs whose last word is a failure are in plain text; what is given out shares nothing with the memory.
func TestMXsInPlainText(t *testing.T) {
	var l Live
	now := time.Now()
	works, fails, again := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")
	l.tls.worked(works, 0, true, now)
	l.tls.failed(fails, 0, failingAt(event.PhaseHandshake, now), now)
	l.tls.failed(again, 0, failingAt(event.PhaseHandshake, now), now)
	l.tls.worked(again, 0, true, now.Add(time.Second))
	plain, remembered := l.InPlainText()
	if len(plain) != 1 || plain[0].MX != fails || remembered != 3 || plain[0].Failures[0].Why != event.TLSOtherCause {
		t.Fatalf("%v of %d", plain, remembered)
	}
	plain[0].Failures[0].Cause = "changed"
	if of, _ := l.TLSOf(fails); of.Failures[0].Cause == "changed" {
		t.Error("the memory has changed with what it gave out")
	}
}

// Whatever the MX takes of the post-quantum key exchanges, it has one, and is offered them again.
func TestEachPostQuantumKeyExchangeIsOne(t *testing.T) {
	for curve, want := range map[tls.CurveID]bool{
		tls.X25519MLKEM768: true, tls.SecP256r1MLKEM768: true, tls.SecP384r1MLKEM1024: true, tls.X25519: false, tls.CurveP256: false, tls.CurveP521: false,
	} {
		if got := postQuantum(uint16(curve)); got != want {
			t.Errorf("%s: %t, want %t", curve, got, want)
		}
	}
}
