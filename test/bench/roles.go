package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"

	"kanmon/test/bench/bytecopy"
	"kanmon/test/bench/load"
	"kanmon/test/bench/mx"
)

// A role is what this program does when it is started again by itself: as one process on one of the hosts. It reads what to do from
// its standard input and ends when that ends.
type role func(in io.Reader, out io.Writer) error

var roles = map[string]role{"source": sourceRole, "mx": mxRole, "copy": copyRole}

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

// A copySpec says what the byte copier does.
type copySpec struct {
	Listen netip.AddrPort
	Buffer int
	TLSTo  map[netip.AddrPort]netip.AddrPort
}

func copyRole(in io.Reader, _ io.Writer) error {
	var spec copySpec
	if err := json.NewDecoder(in).Decode(&spec); err != nil {
		return fmt.Errorf("read spec: %w", err)
	}
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // the original destination is not known for multipath connections
	l, err := lc.Listen(context.Background(), "tcp", spec.Listen.String())
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	go func() {
		_, _ = io.Copy(io.Discard, in)
		_ = l.Close()
	}()
	proxy := bytecopy.Proxy{Buffer: spec.Buffer, TLSTo: spec.TLSTo}
	return proxy.Serve(l)
}
