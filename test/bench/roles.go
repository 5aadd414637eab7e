package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"kanmon/test/bench/bytecopy"
	"kanmon/test/bench/load"
	"kanmon/test/bench/mx"
	"kanmon/test/netlab"
)

// roles are what this program does when it is started again by itself.
var roles = map[string]netlab.RoleFunc{"source": sourceRole, "mx": mxRole, "scanner": scannerRole, bytecopy.RoleName: bytecopy.Role}

// A sourceEvent is what the source says on its standard output.
type sourceEvent struct {
	Window *bool        // the window opened or closed
	Result *load.Result // the load is over
	Failed string       // or it could not be made
}

func sourceRole(in io.Reader, out io.Writer) error {
	orders, events := json.NewDecoder(in), json.NewEncoder(out)
	var spec load.Spec
	if err := orders.Decode(&spec); err != nil {
		return fmt.Errorf("read spec: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	result, err := load.Run(ctx, spec, func(open bool) { _ = events.Encode(sourceEvent{Window: &open}) })
	if err != nil {
		return events.Encode(sourceEvent{Failed: err.Error()})
	}
	return events.Encode(sourceEvent{Result: &result})
}

// An mxOrder is a line of the MX's standard input. The first has the listeners; each is answered with the stats.
type mxOrder struct {
	Listeners []mx.Listener
	Release   bool
}

func mxRole(in io.Reader, out io.Writer) error {
	orders, answers := json.NewDecoder(in), json.NewEncoder(out)
	var first mxOrder
	if err := orders.Decode(&first); err != nil {
		return fmt.Errorf("read listeners: %w", err)
	}
	server, err := mx.Listen(first.Listeners)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		for {
			if answers.Encode(server.Stats()) != nil {
				return
			}
			var order mxOrder
			if orders.Decode(&order) != nil {
				return
			}
			if order.Release {
				server.Release()
			}
		}
	}()
	return server.Serve(ctx)
}

// A scannerOrder is the line of the scanner's standard input, which is answered when it listens.
type scannerOrder struct{ Listen string }

// scannerRole is an Rspamd that finds every message clean, in no time.
func scannerRole(in io.Reader, out io.Writer) error {
	orders, answers := json.NewDecoder(in), json.NewEncoder(out)
	var first scannerOrder
	if err := orders.Decode(&first); err != nil {
		return fmt.Errorf("read where to listen: %w", err)
	}
	listener, err := net.Listen("tcp4", first.Listen)
	if err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ping" {
			_, _ = io.WriteString(w, "pong\r\n")
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"is_skipped":false,"score":0.5,"required_score":15,"action":"no action","time_real":0.001,"symbols":{"R":{"score":0.5}}}`)
	})}
	go func() {
		defer func() { _ = server.Close() }()
		if answers.Encode(true) == nil {
			_, _ = io.Copy(io.Discard, in) // until the runner ends it
		}
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
