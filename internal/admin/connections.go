package admin

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
)

// Connections bounds those that are open at once: each costs a descriptor that mail may need. When there is no room for a new one,
// that user who has most gives one up, the oldest of those that do not wait for an answer. So whoever holds many of them open, lets
// a request trickle in, or asks for what takes long, holds up nobody.
type connections struct {
	mu    sync.Mutex
	open  map[net.Conn]*connection
	begun uint64
}

type connection struct {
	net     net.Conn
	user    string // at the other end
	uid     int64  // likewise; -1: nobody knows
	number  uint64
	waiting bool // its request has come, and it waits for the answer
}

// mostConnections are open at once: an operator needs one.
const mostConnections = 32

type connectionKey struct{}

// enter makes room for a new connection, and notes who is at its other end, as the kernel says (SO_PEERCRED, unix(7)).
func (c *connections) enter(ctx context.Context, conn net.Conn) context.Context {
	entered := &connection{net: conn}
	entered.user, entered.uid = peerOfConn(conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = make(map[net.Conn]*connection)
	}
	entered.number = c.begun
	c.begun++
	c.open[conn] = entered
	if len(c.open) > mostConnections {
		leaves := c.leastNeeded()
		delete(c.open, leaves.net)
		_ = leaves.net.Close()
	}
	return context.WithValue(ctx, connectionKey{}, entered)
}

// leastNeeded gives the connection to be closed. Where all of that user wait for an answer it is the newest one.
func (c *connections) leastNeeded() (leaves *connection) {
	of := map[string]int{}
	for _, one := range c.open {
		of[one.user]++
	}
	worse := func(a, b *connection) bool {
		switch {
		case of[a.user] != of[b.user]:
			return of[a.user] > of[b.user]
		case a.waiting != b.waiting:
			return !a.waiting
		default:
			return (a.number < b.number) != a.waiting
		}
	}
	for _, one := range c.open {
		if leaves == nil || worse(one, leaves) {
			leaves = one
		}
	}
	return leaves
}

// changed hears of what becomes of a connection.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.open[conn]
	switch {
	case one == nil:
	case state == http.StateClosed || state == http.StateHijacked:
		delete(c.open, conn)
	default:
		one.waiting = false // it is new, idle, or the first octets of a request have come
	}
}

// wait notes that the request of a connection has come.
func (c *connections) wait(one *connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one.waiting = true
}

func connectionOf(ctx context.Context) *connection {
	one, _ := ctx.Value(connectionKey{}).(*connection)
	return one
}

// peerOf says who asks: the person, where the view has said so.
func peerOf(ctx context.Context) string {
	if as, _ := ctx.Value(asKey{}).(viewing); as.person != "" {
		return as.person + " (web)"
	}
	if one := connectionOf(ctx); one != nil {
		return one.user
	}
	return ""
}

// whenHeard notes when requests have come as a whole.
func (c *connections) whenHeard(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if one := connectionOf(r.Context()); one != nil {
			if r.ContentLength == 0 {
				c.wait(one)
			}
			r.Body = &heardBody{r.Body, func() { c.wait(one) }}
		}
		h.ServeHTTP(w, r)
	})
}

// A heardBody tells of its end.
type heardBody struct {
	io.ReadCloser
	ended func()
}

func (b *heardBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.ended()
	}
	return n, err
}
