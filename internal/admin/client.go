package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"syscall"
	"time"
)

// A Client speaks to a running kanmon.
type Client struct {
	socket string
	http   http.Client
	person string // in whose name it speaks; "": of the user whose process this is
}

// NewClient makes a client of the kanmon that listens on a Unix socket. It connects with each call.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	return &Client{socket: socket, http: http.Client{
		Timeout: patience, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true},
	}}
}

// As gives a client that speaks in the name of a person. kanmon takes that from the user of the web process alone.
func (c *Client) As(person string) *Client {
	in := *c
	in.person = person
	return &in
}

// PersonHeader names the person who has the web process ask.
const PersonHeader = "Kanmon-Person"

// sign names the person in a request.
func (c *Client) sign(req *http.Request) {
	if c.person != "" {
		req.Header.Set(PersonHeader, c.person)
	}
}

// Standings returns those of one sending IP, or with the zero Addr of all.
func (c *Client) Standings(ctx context.Context, ip netip.Addr) ([]Standing, error) {
	path := "/v1/ips"
	if ip.IsValid() {
		path += "/" + url.PathEscape(ip.String())
	}
	return answer[[]Standing](ctx, c, http.MethodGet, path, nil)
}

// Suspend takes a sending IP out of use at a provider ("": all), for a time (0: until it is resumed).
func (c *Client) Suspend(ctx context.Context, ip netip.Addr, provider string, d time.Duration, reason string) ([]Standing, error) {
	body := change{Provider: provider, Reason: reason}
	if d < 0 {
		return nil, fmt.Errorf("a suspension for %s: want a duration such as 90m or 2h", d)
	}
	if d > 0 {
		body.For = d.String()
	}
	return answer[[]Standing](ctx, c, http.MethodPost, "/v1/ips/"+url.PathEscape(ip.String())+"/suspend", body)
}

// Resume lifts every suspension of a sending IP at a provider ("": all).
func (c *Client) Resume(ctx context.Context, ip netip.Addr, provider, reason string) ([]Standing, error) {
	return answer[[]Standing](ctx, c, http.MethodPost, "/v1/ips/"+url.PathEscape(ip.String())+"/resume", change{Provider: provider, Reason: reason})
}

// Tenants returns all of the configuration, and others that an operator has said something of.
func (c *Client) Tenants(ctx context.Context) ([]Sender, error) {
	return answer[[]Sender](ctx, c, http.MethodGet, "/v1/tenants", nil)
}

// Accounts returns those that are contained, blocked or exempt; with "" of all tenants.
func (c *Client) Accounts(ctx context.Context, tenant string) ([]Sender, error) {
	return answer[[]Sender](ctx, c, http.MethodGet, "/v1/accounts"+asking("tenant", tenant), nil)
}

// Sender returns all of a tenant, or of an account. An account may come without its tenant.
func (c *Client) Sender(ctx context.Context, of Subject) (SenderDetail, error) {
	return answer[SenderDetail](ctx, c, http.MethodGet, pathOf(of, ""), nil)
}

// Carry has an order carried out, and gives what came of it.
func (c *Client) Carry(ctx context.Context, of Subject, o Order) (SenderDetail, error) {
	body := order{Limit: o.Limit, Kind: o.Kind, Reason: o.Reason}
	if o.Limit != "" {
		body.Amount = &o.Amount
	}
	if !o.Until.IsZero() {
		body.Until = o.Until.Format(time.RFC3339Nano)
	}
	return answer[SenderDetail](ctx, c, http.MethodPost, pathOf(of, "/"+o.Do), body)
}

// Changes returns the last lines of the audit, the newest last: of a tenant with those of its accounts, of an account,
// or of a sending IP; with none of them all.
func (c *Client) Changes(ctx context.Context, of Subject, ip netip.Addr, most int) ([]Change, error) {
	asked := []string{"tenant", of.Tenant, "account", of.Account, "most", strconv.Itoa(most)}
	if ip.IsValid() {
		asked = append(asked, "ip", ip.String())
	}
	return answer[[]Change](ctx, c, http.MethodGet, "/v1/audit"+asking(asked...), nil)
}

func pathOf(of Subject, do string) string {
	if of.Account == "" {
		return "/v1/tenants/" + url.PathEscape(of.Tenant) + do
	}
	return "/v1/accounts/" + url.PathEscape(of.Account) + do + asking("tenant", of.Tenant)
}

// asking makes a query of names and values, without those that are empty.
func asking(pairs ...string) string {
	values := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			values.Set(pairs[i], pairs[i+1])
		}
	}
	if len(values) == 0 {
		return ""
	}
	return "?" + values.Encode()
}

// answer makes one call.
func answer[T any](ctx context.Context, c *Client, method, path string, body any) (value T, err error) {
	var content bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&content).Encode(body); err != nil {
			return value, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://kanmon"+path, &content)
	if err != nil {
		return value, err
	}
	c.sign(req)
	resp, err := c.http.Do(req)
	if err != nil {
		return value, c.explain(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		var f failure
		if err := json.NewDecoder(resp.Body).Decode(&f); err != nil || f.Error == "" {
			return value, fmt.Errorf("kanmon answered %s", resp.Status)
		}
		return value, &Error{resp.StatusCode, errors.New(f.Error)}
	}
	if err := json.NewDecoder(resp.Body).Decode(&value); err != nil {
		return value, fmt.Errorf("kanmon's answer is not understood: %w", err)
	}
	return value, nil
}

// A NoAnswer is why no kanmon has answered: there is none at the socket, or none that may be asked.
type NoAnswer struct {
	error
	cause error
}

// Unwrap returns the cause.
func (e NoAnswer) Unwrap() error { return e.error }

// Absent reports that there is no kanmon at the socket: nobody listens there.
func (e NoAnswer) Absent() bool {
	return errors.Is(e.cause, fs.ErrNotExist) || errors.Is(e.cause, syscall.ECONNREFUSED)
}

// explain says what an operator can do about a socket that does not answer.
func (c *Client) explain(ctx context.Context, err error) error {
	var slow net.Error
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return NoAnswer{fmt.Errorf("no socket %s: is kanmon running, with admin.socket set to this? --socket PATH names another", c.socket), err}
	case errors.Is(err, fs.ErrPermission):
		return NoAnswer{fmt.Errorf("socket %s: permission denied: be root, or in the group of kanmon; --socket PATH names another", c.socket), err}
	case errors.Is(err, syscall.ECONNREFUSED):
		return NoAnswer{fmt.Errorf("nobody listens on the socket %s: kanmon has died, or is starting (systemctl status kanmon); --socket PATH names another", c.socket), err}
	case ctx.Err() != nil: // that says nothing of kanmon
		return NoAnswer{fmt.Errorf("the question to the socket %s was given up before kanmon had answered: %w", c.socket, context.Cause(ctx)), err}
	case errors.As(err, &slow) && slow.Timeout():
		return NoAnswer{fmt.Errorf("a process has the socket %s and does not answer within %s: kanmon hangs, or is stopped; systemctl status kanmon shows it, systemctl restart kanmon ends it", c.socket, c.http.Timeout), err}
	}
	return NoAnswer{fmt.Errorf("kanmon does not answer on %s (--socket PATH names another): %w", c.socket, err), err}
}
