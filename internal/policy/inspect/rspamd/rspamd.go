// Package rspamd asks Rspamd by its HTTP protocol: POST /checkv2 to a normal worker, or to a proxy with a scanning backend (3.4 to 4).
//
// The envelope goes in header fields of the request. What cannot stand there Rspamd 3.4 drops without a word, and judges the message as if
// it had no sender, or no recipients: so the fields are made here as Rspamd reads them, or the message is not put to it ([fields]).
//
// Rspamd answers 200 with an action also where its own time has run out, or where a part of it has failed: what it says of that is in
// time_real and in symbols that end with _FAIL ([parse]). File kanmon.lua has it say more: which settings and which envelope it sees, for
// [Engine.Probe], and whether its time has run out. It belongs into Rspamd's lua.local.d.
package rspamd

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/policy/inspect"
)

// Port is that of Rspamd's normal worker.
const Port = "11333"

// taskTimeout is Rspamd's own, if its operator has not changed it.
const taskTimeout = 8 * time.Second

const mostReply = 2 << 20 // octets

// Settings are what an [Engine] is made with.
type Settings struct {
	Address     string        // such as "http://127.0.0.1:11333", "unix:/run/rspamd/worker.sock", "https://rspamd.example:11335"
	SettingsID  string        // of Rspamd's settings that are to be in force; "": none
	TaskTimeout time.Duration // Rspamd's task_timeout; 0: eight seconds
	TLS         *tls.Config   // of "https"; nil: the host's certificates
	Dial        inspect.Dial  // nil: net.Dialer's
}

// An Engine is an Rspamd.
type Engine struct {
	s       Settings
	address inspect.Address
	client  http.Client
}

// New makes an Engine.
func New(s Settings) (*Engine, error) {
	a, err := inspect.ParseAddress(s.Address, Port)
	if err != nil {
		return nil, err
	}
	if !isVisible(s.SettingsID) {
		return nil, fmt.Errorf("settings_id %q: it cannot stand in a header field", s.SettingsID)
	}
	s.TaskTimeout = cmp.Or(s.TaskTimeout, taskTimeout)
	e := &Engine{s: s, address: a}
	if e.s.Dial == nil {
		e.s.Dial = new(net.Dialer).DialContext
	}
	e.client = http.Client{
		Transport: &http.Transport{
			DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return e.s.Dial(ctx, a.Network, a.Host) },
			TLSClientConfig:   s.TLS,
			DisableKeepAlives: true, // it closes behind each answer, and a second request on a connection gets none
			// What a scanner sends is read by nobody but here.
			DisableCompression:     true,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return e, nil
}

// Lingers is false: Rspamd gives a scan up when its client hangs up, as soon as its worker comes to notice.
func (e *Engine) Lingers() bool { return false }

// Scan puts a message to Rspamd.
func (e *Engine) Scan(ctx context.Context, m *inspect.Mail) event.Scan {
	reply, said := e.ask(ctx, m)
	if reply == nil {
		return said
	}
	return reply.scan(e.s.TaskTimeout)
}

// ask returns the reply, or why there is none.
func (e *Engine) ask(ctx context.Context, m *inspect.Mail) (*reply, event.Scan) {
	fields, err := fieldsOf(m, e.s.SettingsID)
	if err != nil {
		return nil, inspect.Unfit(err.Error())
	}
	body := &counted{from: m.Open()}
	request, err := e.request(ctx, http.MethodPost, "/checkv2", body)
	if err != nil {
		return nil, inspect.Failed(event.LackUnavailable, "%v", err)
	}
	request.Header, request.ContentLength = fields, m.Octets
	if m.Octets == 0 {
		request.Body = http.NoBody
	}
	response, err := e.client.Do(request)
	if err != nil {
		return nil, lack(ctx, err, body.n.Load(), m.Octets)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, refused(response)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, mostReply+1))
	switch {
	case err != nil:
		return nil, inspect.Failed(event.LackUnavailable, "read the reply: %v", err)
	case len(text) > mostReply:
		return nil, inspect.Failed(event.LackUnavailable, "a reply of more than %d octets", mostReply)
	}
	r, err := parse(text)
	if err != nil {
		return nil, inspect.Failed(event.LackUnavailable, "what it said cannot be read: %v", err)
	}
	return r, event.Scan{}
}

func (e *Engine) request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	scheme, host := "http://", e.address.Host
	if e.address.TLS {
		scheme = "https://"
	}
	if e.address.Network == "unix" {
		host = "localhost"
	}
	return http.NewRequestWithContext(ctx, method, scheme+host+path, body)
}

// lack says what a request without an answer means, of which so many octets were read.
func lack(ctx context.Context, err error, sent, octets int64) event.Scan {
	hungUp := sent < octets || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed)
	switch {
	case hungUp && octets >= hungUpFrom && sent > 0 && ctx.Err() == nil:
		// Its 413 is lost to a client that is still writing.
		return inspect.Failed(event.LackTooLarge, "it has hung up before it had all of %d octets: more than its max_message?", octets)
	case errors.Is(err, io.EOF):
		return inspect.Failed(event.LackBusy, "it has hung up without a word: it has as many tasks as it takes")
	}
	return inspect.Failed(event.LackUnavailable, "%v", unwrapped(err))
}

// hungUpFrom is from how many octets on a connection that ends before it has had all is rather about the message's size.
const hungUpFrom = 64 << 10

// unwrapped is an error without the method and the URL, which are the same in each.
func unwrapped(err error) error {
	if u, is := errors.AsType[*url.Error](err); is {
		return u.Err
	}
	return err
}

func refused(r *http.Response) event.Scan {
	text, _ := io.ReadAll(io.LimitReader(r.Body, 512))
	if r.StatusCode == http.StatusRequestEntityTooLarge {
		return inspect.Failed(event.LackTooLarge, "larger than its max_message")
	}
	return inspect.Failed(event.LackUnavailable, "it answers %d: %.100q", r.StatusCode, text)
}

// counted counts what is read of a message.
type counted struct {
	from io.Reader
	n    atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// Ping asks by /ping.
func (e *Engine) Ping(ctx context.Context) error {
	request, err := e.request(ctx, http.MethodGet, "/ping", nil)
	if err != nil {
		return err
	}
	response, err := e.client.Do(request)
	if err != nil {
		return unwrapped(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(response.Body, 64))
	if response.StatusCode != http.StatusOK || strings.TrimSpace(string(text)) != "pong" {
		return fmt.Errorf("to a ping it answers %d: %.60q", response.StatusCode, text)
	}
	return nil
}
