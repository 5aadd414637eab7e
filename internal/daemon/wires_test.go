package daemon

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
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

// A port of all tenants does not become a single one's by a reload, where its wires would never be bound: the reload is refused.
func TestReloadDoesNotMakeAPortOfAllATenants(t *testing.T) {
	first, second := freePort(t), freePort(t)
	tables := func(all, own int) string {
		return fmt.Sprintf("[intercept]\nmode = 'tproxy'\nlisten = ['127.0.0.1:%d']\n[[tenant]]\nname = 'vlan'\nlisten_port = %d\ninterfaces = ['lo']\n", all, own)
	}
	w := newWorld(t, listenTable)
	w.daemon = w.newDaemon(w.parse(tables(first, second)))
	w.start()
	if err := w.daemon.Reload(t.Context(), w.parse(tables(second, first))); err == nil || !strings.Contains(err.Error(), "or restart kanmon") {
		t.Errorf("the reload ended with %v, want a refusal that says to restart", err)
	}
	w.stop()
}
