package web

import (
	"net"
	"sync"
)

// A crowd bounds how many connections are open at once: others wait in the listener's queue.
type crowd struct {
	net.Listener
	room   chan struct{}
	closed chan struct{}
	close  func()
}

func bounded(l net.Listener, most int) *crowd {
	c := &crowd{Listener: l, room: make(chan struct{}, most), closed: make(chan struct{})}
	c.close = sync.OnceFunc(func() { close(c.closed) })
	return c
}

// Accept waits for a connection, and for room for it.
func (c *crowd) Accept() (net.Conn, error) {
	select {
	case c.room <- struct{}{}:
	case <-c.closed:
		return nil, net.ErrClosed
	}
	conn, err := c.Listener.Accept()
	if err != nil {
		<-c.room
		return nil, err
	}
	return &one{conn, sync.OnceFunc(func() { <-c.room })}, nil
}

// Close ends accepting.
func (c *crowd) Close() error {
	c.close()
	return c.Listener.Close()
}

// one is a connection of the crowd.
type one struct {
	net.Conn
	leave func()
}

func (o *one) Close() error {
	o.leave()
	return o.Conn.Close()
}
