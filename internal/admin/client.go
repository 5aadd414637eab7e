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
	"time"
)

// A Client speaks to a running kanmon.
type Client struct {
	socket string
	http   http.Client
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

// Standings gives those of one sending IP, or with the zero Addr of all.
func (c *Client) Standings(ctx context.Context, ip netip.Addr) ([]Standing, error) {
	path := "/v1/ips"
	if ip.IsValid() {
		path += "/" + url.PathEscape(ip.String())
	}
	return c.call(ctx, http.MethodGet, path, nil)
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
	return c.call(ctx, http.MethodPost, "/v1/ips/"+url.PathEscape(ip.String())+"/suspend", body)
}

// Resume lifts every suspension of a sending IP at a provider ("": all).
func (c *Client) Resume(ctx context.Context, ip netip.Addr, provider string) ([]Standing, error) {
	return c.call(ctx, http.MethodPost, "/v1/ips/"+url.PathEscape(ip.String())+"/resume", change{Provider: provider})
}

func (c *Client) call(ctx context.Context, method, path string, body any) ([]Standing, error) {
	var content bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&content).Encode(body); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://kanmon"+path, &content)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		var f failure
		if err := json.NewDecoder(resp.Body).Decode(&f); err != nil || f.Error == "" {
			return nil, fmt.Errorf("kanmon answered %s", resp.Status)
		}
		return nil, errors.New(f.Error)
	}
	var all []Standing
	if err := json.NewDecoder(resp.Body).Decode(&all); err != nil {
		return nil, fmt.Errorf("kanmon's answer is not understood: %w", err)
	}
	return all, nil
}

// explain says what an operator can do about a socket that does not answer.
func (c *Client) explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("no socket %s: is kanmon running, with admin.socket set to this?", c.socket)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("socket %s: permission denied: be root, or in the group of kanmon", c.socket)
	}
	return fmt.Errorf("kanmon does not answer on %s: %w", c.socket, err)
}
