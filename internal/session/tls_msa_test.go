package session_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"

	"kanmon/internal/smtp/smtptest"
)

// An MSA whose TLS has no forward secrecy gets it as an MX would: the alternative is no mail.
//
// audit-F10
func TestMSAThatKnowsRSAKeyExchangeOnly(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{RSA: true})
	for _, suite := range []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_CBC_SHA, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA} {
		t.Run(tls.CipherSuiteName(suite), bubble(func(t *testing.T) {
			r := newRig()
			r.engine.Certificate = func() (*tls.Certificate, error) { return &cert, nil }
			msa := r.msa(t)
			msa.TLS = &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite}}
			got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
			if !got.All(smtptest.Accepted) {
				t.Errorf("%v %v", got.Verdicts, got.Err)
			}
			finishSession(msa)
		}))
	}
}

// Behind QUIT the MSA is told that the stream has ended, and was not cut (RFC 8446 §6.1).
//
// audit-F10
func TestTLSWithTheMSAEndsInOrder(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.engine.Certificate = func() (*tls.Certificate, error) { return &cert, nil }
		conn, _, ended := r.connect()
		wire := &lastRecord{Conn: conn}
		msa := smtptest.NewMSA(t, wire)
		msa.TLS = &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12} // whose records show what they are
		got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
		if reply := msa.Command("QUIT"); !got.All(smtptest.Accepted) || reply.Code != 221 {
			t.Fatalf("%v %v, QUIT: %s", got.Verdicts, got.Err, reply)
		}
		<-ended
		if n, err := msa.Conn().Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("behind 221: %d octets, %v", n, err)
		}
		if kind := wire.kind(); kind != 21 {
			t.Errorf("the last record is of type %d, want an alert", kind)
		}
	})
}

// lastRecord gives the type of the last TLS record that was read.
type lastRecord struct {
	net.Conn
	read []byte
}

func (c *lastRecord) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read = append(c.read, p[:n]...)
	return n, err
}

func (c *lastRecord) kind() (kind byte) {
	for rest := c.read[bytes.Index(c.read, []byte("\r\n220 2.0.0"))+2:]; len(rest) > 5; {
		if rest[1] != 3 { // not the version: it is in clear yet
			_, rest, _ = bytes.Cut(rest, []byte("\r\n"))
			continue
		}
		kind, rest = rest[0], rest[min(len(rest), 5+int(rest[3])<<8+int(rest[4])):]
	}
	return kind
}
