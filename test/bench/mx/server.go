package mx

import (
	"context"
	"crypto/tls"
	"errors"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// TLS says how a listener speaks TLS.
type TLS string

// The ways to speak TLS.
const (
	NoTLS    TLS = ""
	StartTLS TLS = "starttls"
	Implicit TLS = "implicit"
)

// A Listener is an address of the MX and how it behaves there.
type Listener struct {
	Address netip.AddrPort
	TLS     TLS
	Hold    bool // answer no MAIL until Release; each release lets one more message of every session pass
	Drip    int  // from MAIL on, give a reply without end at so many octets a second; 0: reply at once
}

// Stats is what the MX has seen so far.
type Stats struct {
	Sessions int64
	Messages int64
	Octets   int64 // of all messages, without their dots
	Wrong    int64 // messages of another size than announced; they were refused
	Held     int64 // sessions that are held or dripped to now
}

// A Server is the MX.
type Server struct {
	plain   []*loop
	sockets sockets // of the event loops
	secure  []secureListener
	tls     *tls.Config
	clock   Clock
	wheel   *wheel
	gate    chan struct{} // closed by the next release
	mu      sync.Mutex
	serving errgroup.Group

	sessions, messages, octets, wrong, held, released atomic.Int64
}

// Listen opens the listeners.
func Listen(listeners []Listener) (*Server, error) {
	certificate, err := NewCertificate("mx.bench.test")
	if err != nil {
		return nil, err
	}
	s := &Server{
		// The key exchanges that an MX with OpenSSL 3.0 has (Debian 12, Ubuntu 22.04 and 24.04): HAProxy, with the same, must
		// not seem faster for having no more to offer.
		tls:   &tls.Config{Certificates: []tls.Certificate{certificate}, CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256}},
		clock: NewClock(),
		wheel: newWheel(),
		gate:  make(chan struct{}),
	}
	var plain []Listener
	for _, l := range listeners {
		if l.TLS == NoTLS {
			plain = append(plain, l)
			continue
		}
		if err := s.listenSecure(l); err != nil {
			return nil, errors.Join(err, s.close(), s.shut())
		}
	}
	if err := s.listenPlain(plain); err != nil {
		return nil, errors.Join(err, s.close(), s.shut())
	}
	return s, nil
}

// listenPlain makes the event loops, half as many as the machine has cores: the source needs the others. All share the listeners.
func (s *Server) listenPlain(listeners []Listener) error {
	if len(listeners) == 0 {
		return nil
	}
	var err error
	if s.sockets, err = openSockets(listeners); err != nil {
		return err
	}
	for range max(1, runtime.NumCPU()/2) {
		l, err := newLoop(s, s.sockets)
		if err != nil {
			return err
		}
		s.plain = append(s.plain, l)
	}
	return nil
}

// Serve runs the MX until the context ends, then cuts all sessions. It is called once.
func (s *Server) Serve(ctx context.Context) error {
	for _, l := range s.plain {
		s.serving.Go(l.run)
	}
	for _, l := range s.secure {
		s.serving.Go(func() error { return s.serveSecure(ctx, l) })
	}
	s.serving.Go(func() error { s.wheel.run(ctx); return nil })
	<-ctx.Done()
	for _, l := range s.plain {
		l.stop()
	}
	return errors.Join(s.close(), s.serving.Wait(), s.shut())
}

// Stats gives the counts as they are now.
func (s *Server) Stats() Stats {
	return Stats{
		Sessions: s.sessions.Load(), Messages: s.messages.Load(), Octets: s.octets.Load(),
		Wrong: s.wrong.Load(), Held: s.held.Load(),
	}
}

// Release lets every held session go on until its next message.
func (s *Server) Release() {
	s.mu.Lock()
	s.released.Add(1)
	close(s.gate)
	s.gate = make(chan struct{})
	s.mu.Unlock()
	for _, l := range s.plain {
		l.wake()
	}
}

func (s *Server) nextRelease() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gate
}

// close ends listening for TLS sessions.
func (s *Server) close() error {
	var err error
	for _, l := range s.secure {
		err = errors.Join(err, l.Close())
	}
	return err
}

// shut releases what the event loops used. They have stopped, or never run.
func (s *Server) shut() error {
	for _, l := range s.plain {
		l.shut()
	}
	return s.sockets.close()
}
