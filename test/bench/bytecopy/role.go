package bytecopy

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
)

// RoleName is what a program calls the byte copier among its roles.
const RoleName = "copy"

// A Spec says what the role does.
type Spec struct {
	Listen netip.AddrPort
	Buffer int // octets of each of a session's two buffers
	TLSTo  map[netip.AddrPort]netip.AddrPort
}

// Role is the byte copier as a process of its own: its input is the Spec, and ends it.
func Role(in io.Reader, _ io.Writer) error {
	var spec Spec
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
	proxy := Proxy{Buffer: spec.Buffer, TLSTo: spec.TLSTo}
	return proxy.Serve(l)
}
