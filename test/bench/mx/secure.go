package mx

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

type secureListener struct {
	net.Listener
	conf *Listener
}

func (s *Server) listenSecure(conf Listener) error {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(context.Background(), "tcp", conf.Address.String())
	if err != nil {
		return fmt.Errorf("listen on %v: %w", conf.Address, err)
	}
	s.secure = append(s.secure, secureListener{l, &conf})
	return nil
}

func (s *Server) serveSecure(ctx context.Context, l secureListener) error {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		s.sessions.Add(1)
		go func() {
			defer conn.Close()
			t := tlsSession{server: s, conn: conn, dialogue: dialogue{server: s, listener: l.conf}}
			t.run(ctx)
		}()
	}
}

// A tlsSession is a session of a goroutine: in clear until STARTTLS, or inside TLS from the beginning.
type tlsSession struct {
	server   *Server
	conn     net.Conn
	dialogue dialogue
}

// run returns when either side has ended the session. Its errors concern nobody: the source sees that its session was cut.
func (t *tlsSession) run(ctx context.Context) {
	defer context.AfterFunc(ctx, func() { _ = t.conn.Close() })()
	raw := t.conn
	if t.dialogue.listener.TLS == Implicit {
		t.conn, t.dialogue.secure = tls.Server(raw, t.server.tls), true
	}
	if _, err := t.conn.Write([]byte(banner)); err != nil {
		return
	}
	// One TLS record at most comes out of a read.
	in, out := make([]byte, 16<<10), make([]byte, 0, 512)
	for {
		n, err := t.conn.Read(in)
		if err != nil {
			return
		}
		replies, rest, do := t.dialogue.step(in[:n], out)
		for do == actHold {
			if !t.write(replies) || !t.hold(ctx) {
				return
			}
			replies, rest, do = t.dialogue.step(rest, out)
		}
		if !t.write(replies) {
			return
		}
		switch do {
		case actClose:
			// The close alert is for the peer's sake, as MTAs do it.
			_ = t.conn.Close()
			return
		case actStartTLS:
			t.conn, t.dialogue.secure = tls.Server(raw, t.server.tls), true
		case actDrip:
			t.drip()
			return
		}
	}
}

func (t *tlsSession) write(replies []byte) bool {
	if len(replies) == 0 {
		return true
	}
	_, err := t.conn.Write(replies)
	return err == nil
}

func (t *tlsSession) hold(ctx context.Context) bool {
	t.server.held.Add(1)
	defer t.server.held.Add(-1)
	select {
	case <-ctx.Done():
		return false
	case <-t.server.nextRelease():
		return true
	}
}

func (t *tlsSession) drip() {
	t.server.held.Add(1)
	defer t.server.held.Add(-1)
	d := t.server.wheel.add(t.dialogue.listener.Drip, t.conn)
	defer d.stop()
	in := make([]byte, 512)
	for {
		if _, err := t.conn.Read(in); err != nil {
			return
		}
	}
}

// NewCertificate makes a self-signed certificate with the kind of key that is quickest to use.
func NewCertificate(name string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make key: %w", err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		DNSNames:     []string{name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
