package web

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Strangers who open connections and leave them open keep nobody out, and cut off no one who is logged in.
func TestStrangersWhoStayKeepNobodyOut(t *testing.T) {
	g := newRig(t)
	b := g.as(Look)
	b.get("/").want(t, 200)
	inside := strings.TrimPrefix(g.url, "http://")
	for range maxConnections + 10 {
		c, err := net.Dial("tcp", inside)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, "GET /login HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err) // not let in
		}
		_ = resp.Body.Close()
	}
	g.as(Nobody).get("/login").want(t, 200, "Log in")
	b.get("/").want(t, 200)
}

// The one that goes is the oldest stranger's, and of people's the oldest only where there are no strangers'.
func TestTheOldestStrangerGoes(t *testing.T) {
	c := bounded(nil, 3)
	enter := func() (in, out *one) {
		in = &one{of: c}
		return in, c.enter(in)
	}
	a, _ := enter()
	s1, _ := enter()
	s2, _ := enter()
	a.isKnown()
	_, out := enter()
	if out != s1 {
		t.Error("the oldest stranger is not the one that goes")
	}
	s2.isKnown()
	for _, o := range c.open {
		o.isKnown()
	}
	if _, out = enter(); out != a {
		t.Error("of people alone the oldest is not the one that goes")
	}
	if len(c.open) != 3 {
		t.Errorf("%d are open", len(c.open))
	}
}
