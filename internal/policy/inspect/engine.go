package inspect

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"

	"kanmon/internal/event"
)

// An Engine is one scanner program, at one address. It is safe for concurrent use.
type Engine interface {
	// Scan puts a message to it. It returns soon behind the end of ctx, and never later than that without having closed its connection. What
	// it returns lacks the scanner's name and the time it took.
	Scan(ctx context.Context, m *Mail) event.Scan
	// Ping asks whether it is there.
	Ping(ctx context.Context) error
	// Probe has it prove what [Proof]s are about.
	Probe(ctx context.Context) []Proof
	// Lingers reports whether the program goes on with a scan when its client has gone.
	Lingers() bool
}

// Actions of scanners, in Rspamd's words. Milters have theirs told in the same. A scanner may have others.
const (
	ActionNone       = "no action"
	ActionGreylist   = "greylist"
	ActionAddHeader  = "add header"
	ActionSubject    = "rewrite subject"
	ActionSoftReject = "soft reject"
	ActionReject     = "reject"
	ActionQuarantine = "quarantine"
	ActionDiscard    = "discard"
)

// Failed is a scan without a verdict. Its reason is for people.
func Failed(lack event.Lack, format string, args ...any) event.Scan {
	return event.Scan{State: event.ScanFailed, Lack: lack, Why: cut(fmt.Sprintf(format, args...))}
}

// Unfit is the scan of a message that its sender has made so that the scanner cannot be asked about it.
func Unfit(what string) event.Scan {
	return Failed(event.LackUnfit, "cannot be put to the scanner: %s", what)
}

func skipped(lack event.Lack, format string, args ...any) event.Scan {
	return event.Scan{State: event.ScanSkipped, Lack: lack, Why: cut(fmt.Sprintf(format, args...))}
}

// mostText is how much of what a scanner says in words of its own is kept.
const mostText = 200

// cut shortens a text that strangers may have written.
func cut(text string) string {
	if len(text) <= mostText {
		return text
	}
	return strings.ToValidUTF8(text[:mostText], "") + "…"
}

// An Address is where a scanner program listens.
type Address struct {
	Network string // of package net
	Host    string // with port; a path, if Network is "unix"
	TLS     bool
}

// String returns it for people.
func (a Address) String() string {
	if a.Network == "unix" {
		return "unix:" + a.Host
	}
	return a.Host
}

// ParseAddress reads "unix:/path", "tcp://host:port", "http://host:port" and "https://host:port". Port is used where none is named.
func ParseAddress(text, port string) (Address, error) {
	if path, is := strings.CutPrefix(text, "unix:"); is {
		path = strings.TrimPrefix(path, "//")
		if !filepath.IsAbs(path) {
			return Address{}, fmt.Errorf("%q: want unix:/path", text)
		}
		return Address{Network: "unix", Host: path}, nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return Address{}, fmt.Errorf("address of a scanner: %w", err)
	case u.Scheme != "tcp" && u.Scheme != "http" && u.Scheme != "https":
		return Address{}, fmt.Errorf("%q: want unix:/path, tcp://host:port, http://host:port or https://host:port", text)
	case u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return Address{}, fmt.Errorf("%q: want a host and a port alone", text)
	}
	if u.Port() != "" {
		port = u.Port()
	}
	return Address{Network: "tcp", Host: net.JoinHostPort(u.Hostname(), port), TLS: u.Scheme == "https"}, nil
}

// A Dial connects to a scanner; as [net.Dialer.DialContext].
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Connect dials, and has the connection end with ctx: whatever reads or writes then returns at once. Close closes it.
func (d Dial) Connect(ctx context.Context, a Address) (conn net.Conn, stop func() bool, err error) {
	if d == nil {
		d = new(net.Dialer).DialContext
	}
	conn, err = d(ctx, a.Network, a.Host)
	if err != nil {
		return nil, nil, err
	}
	return conn, context.AfterFunc(ctx, func() { _ = conn.Close() }), nil
}
