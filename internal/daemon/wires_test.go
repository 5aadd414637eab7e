package daemon

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"kanmon/internal/admin/check"
)

// A reload changes the interfaces that a tenant's port is for, and leaves the port open for those that stay.
func TestReloadChangesTheWiresOfAPort(t *testing.T) {
	listening := strings.Replace(listenTable, "[intercept]\n", "[intercept]\nmode = 'tproxy'\n", 1) // redirect is not for loopback addresses
	w := newWorld(t, listening)
	own := freePort(t)
	tables := func(interfaces string) string {
		return listening + fmt.Sprintf("[[tenant]]\nname = 'vlan'\nlisten_port = %d\ninterfaces = [%s]\n", own, interfaces)
	}
	w.daemon = w.newDaemon(w.parse(tables("'lo'")))
	w.start()
	answers := func() bool {
		conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", own), time.Second)
		if err == nil {
			_ = conn.Close()
		} else if !strings.Contains(err.Error(), "refused") && !strings.Contains(err.Error(), "reset") { // a socket that is closed resets who waits there
			t.Fatal(err)
		}
		return err == nil
	}
	if !answers() {
		t.Error("the port of lo does not answer at lo")
	}
	for _, step := range []struct {
		interfaces string
		want       bool
	}{{"'nosuch0'", false}, {"'l*'", true}} {
		if err := w.daemon.Reload(t.Context(), w.with(tables(step.interfaces))); err != nil {
			t.Fatal(err)
		}
		waitUntil(t, fmt.Sprintf("with interfaces %s the port answers: %t", step.interfaces, step.want), func() bool { return answers() == step.want })
	}
	w.stop()
}

// What a reload cannot do to a port is refused with the step that does it, and nothing is changed: a port of all tenants does not become a single
// one's, where its wires would never be bound, and addresses that kanmon itself is in the way of are not opened.
func TestReloadSaysWhatItCannotDoToAPort(t *testing.T) {
	first, second := freePort(t), freePort(t)
	tables := func(address string, all, own int, more string) string {
		return fmt.Sprintf("[intercept]\nmode = 'tproxy'\nlisten = ['%s:%d']\n%s[[tenant]]\nname = 'vlan'\nlisten_port = %d\ninterfaces = ['lo']\n", address, all, more, own)
	}
	const managed = "manage_rules = true\nlocal = true\nuser = '1234'\n"
	for _, more := range []string{"", managed} {
		w := newWorld(t, listenTable)
		w.daemon = w.newDaemon(w.parse(tables("127.0.0.1", first, second, more)))
		w.daemon.host.Own = func() check.User { return check.User{ID: 1234} }
		w.daemon.host.LookPath = func(string) (string, error) { return "nft", nil }
		w.start()
		step := "systemctl stop kanmon && kanmon rules apply && systemctl start kanmon"
		if more != "" {
			step = "systemctl restart kanmon"
		}
		for name, doc := range map[string]string{
			"a swap":           tables("127.0.0.1", second, first, more),
			"another address":  tables("0.0.0.0", first, second, more),
			"a port of itself": tables("0.0.0.0", second, freePort(t), more),
		} {
			err := w.daemon.Reload(t.Context(), w.parse(doc))
			if err == nil || !strings.Contains(err.Error(), step) {
				t.Errorf("%s: the reload ended with %v, want %q", name, err, step)
			}
			if listen := w.daemon.rulesNow().Listen; len(listen) != 1 || int(listen[0].Port()) != first {
				t.Errorf("%s: the configuration holds though it was refused: %v", name, listen)
			}
		}
		w.stop()
	}
}
