package web

import (
	"crypto/tls"
	"net"
	"slices"
	"sync"
)

// A crowd bounds how many connections are open at once. Where there is no room for one more, another goes: of those on which nobody has logged in
// the one that has been there longest, and only where all are of people the oldest of these. Strangers who keep connections open keep no one out.
type crowd struct {
	net.Listener
	most int

	mu   sync.Mutex
	open []*one // the oldest first
}

func bounded(l net.Listener, most int) *crowd { return &crowd{Listener: l, most: most} }

// Accept waits for a connection.
func (c *crowd) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	in := &one{Conn: conn, of: c}
	if out := c.enter(in); out != nil {
		out.cut()
	}
	return in, nil
}

// enter lets one in, and gives the one that has to go for it.
func (c *crowd) enter(in *one) (out *one) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.open) >= c.most {
		at := max(0, slices.IndexFunc(c.open, func(o *one) bool { return !o.known }))
		out = c.open[at]
		c.open = slices.Delete(c.open, at, at+1)
	}
	c.open = append(c.open, in)
	return out
}

// one is a connection of the crowd.
type one struct {
	net.Conn
	of    *crowd
	known bool // somebody has logged in on it; of.mu guards this
}

// isKnown says that somebody who has logged in asks on it.
func (o *one) isKnown() {
	o.of.mu.Lock()
	defer o.of.mu.Unlock()
	o.known = true
}

// cut ends a connection without taking leave of whoever is there: he may not listen.
func (o *one) cut() {
	conn := o.Conn
	if of, is := conn.(*tls.Conn); is {
		conn = of.NetConn()
	}
	_ = conn.Close()
}

// Close implements net.Conn.
func (o *one) Close() error {
	o.of.mu.Lock()
	o.of.open = slices.DeleteFunc(o.of.open, func(x *one) bool { return x == o })
	o.of.mu.Unlock()
	return o.Conn.Close()
}
