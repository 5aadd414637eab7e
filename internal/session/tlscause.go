package session

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"

	"kanmon/internal/event"
)

// The beginnings of what crypto/tls says, of which it has no types. That it still says so is held by tests with real servers.
const (
	ofParsing     = "tls: failed to parse certificate from server"
	ofKeySize     = "tls: server sent certificate containing RSA key larger"
	ofKeyType     = "tls: server's certificate contains an unsupported type of public key"
	ofVersion     = "tls: server selected unsupported protocol version"
	ofRemoteAlert = "remote error" // net.OpError.Op of an alert
)

// Alerts (RFC 8446 section 6) that say why.
const (
	alertHandshakeFailure     tls.AlertError = 40
	alertNoCertificate        tls.AlertError = 41
	alertBadCertificate       tls.AlertError = 42
	alertProtocolVersion      tls.AlertError = 70
	alertInsufficientSecurity tls.AlertError = 71
	alertCertificateRequired  tls.AlertError = 116
)

// why says for what cause TLS has failed.
func (f *tlsFailure) why() event.TLSCause {
	var foreign tls.RecordHeaderError
	var alert *net.OpError
	switch text := f.cause.Error(); {
	case f.hung:
		return event.TLSSilent
	case errors.As(f.cause, &foreign):
		return event.TLSForeign
	case errors.As(f.cause, &alert) && alert.Op == ofRemoteAlert:
		return ofAlert(alert.Err)
	case strings.HasPrefix(text, ofParsing), strings.HasPrefix(text, ofKeySize), strings.HasPrefix(text, ofKeyType):
		return event.TLSCertificate
	case strings.HasPrefix(text, ofVersion):
		return event.TLSVersion
	case errors.As(f.cause, &alert), errors.Is(f.cause, io.EOF), errors.Is(f.cause, io.ErrUnexpectedEOF):
		return event.TLSLost
	case errors.Is(f.cause, errRefusesTLS):
		return event.TLSRefused
	default:
		return event.TLSOtherCause
	}
}

func ofAlert(alert error) event.TLSCause {
	switch alert.Error() {
	case alertHandshakeFailure.Error(), alertInsufficientSecurity.Error():
		return event.TLSNothingInCommon
	case alertProtocolVersion.Error():
		return event.TLSVersion
	case alertNoCertificate.Error(), alertBadCertificate.Error(), alertCertificateRequired.Error():
		return event.TLSClientCertificate
	default:
		return event.TLSAlert
	}
}

// A PlainMX is an MX whose TLS has failed, and not worked since: an opportunistic session gives it mail in plain text, and one that must
// have TLS gives it none.
type PlainMX struct {
	MX netip.Addr
	MXTLS
}

// InPlainText returns those of the MXs that are remembered, and how many are.
func (l *Live) InPlainText() (plain []PlainMX, remembered int) {
	l.tls.mu.Lock()
	defer l.tls.mu.Unlock()
	for mx, k := range l.tls.known {
		if n := len(k.Failures); n > 0 && k.Failures[n-1].At.After(k.Worked) {
			plain = append(plain, PlainMX{mx, k.clone()})
		}
	}
	return plain, len(l.tls.known)
}

// clone shares nothing with what is remembered.
func (t *MXTLS) clone() MXTLS {
	of := *t
	of.Failures = append([]TLSFailure(nil), t.Failures...)
	return of
}

// lastCause is why TLS with an MX has failed the last time.
func (m *tlsMemory) lastCause(mx netip.Addr) event.TLSCause {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k := m.known[mx]; k != nil && len(k.Failures) > 0 {
		return k.Failures[len(k.Failures)-1].Why
	}
	return event.TLSOtherCause
}
