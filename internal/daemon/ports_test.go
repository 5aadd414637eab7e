package daemon

import (
	"net"
	"strings"
	"testing"
)

// A sending IP has the source ports that the configuration gives it, from the next session behind a reload on.
func TestPortsOfASendingIP(t *testing.T) {
	const ip = "[[sending_ip]]\naddress = '127.0.0.1'\nehlo = 'out.example'\n"
	w := newWorld(t, listenTable+ip+"ports = '40000-40099'\n")
	mx, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mx.Close()
	w.mxAddr = mx.Addr().(*net.TCPAddr).AddrPort()
	w.start()
	defer w.stop()
	within := func(first, last int) {
		t.Helper()
		for range 5 {
			m := w.session()
			conn, err := mx.Accept()
			if err != nil {
				t.Fatal(err)
			}
			if port := conn.RemoteAddr().(*net.TCPAddr).Port; port < first || port > last {
				t.Errorf("mail leaves from port %d, want %d to %d", port, first, last)
			}
			_, _ = conn.Write([]byte("220 mx.example\r\n"))
			m.Expect(220)
			_ = conn.Close()
		}
	}
	within(40000, 40099)
	if err := w.daemon.Reload(t.Context(), w.with(ip+"ports = '40100-40199'\n")); err != nil {
		t.Fatal(err)
	}
	within(40100, 40199)
	if c := w.daemon.dialling(w.with(ip)); c.Ports != nil {
		t.Errorf("without the key there are %v", c.Ports)
	}
	if err := w.daemon.Reload(t.Context(), w.with(ip+"ports = '2000-2999'\n")); err == nil || !strings.Contains(err.Error(), "not all within net.ipv4.ip_local_port_range") {
		t.Errorf("ports that the kernel does not use: %v", err)
	}
}
