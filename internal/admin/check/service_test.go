package check

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What systemd 252 (Debian 12) says of the shipped unit with a drop-in.
const shown = `MainPID=4711
ExecStart={ path=/usr/local/bin/kanmon ; argv[]=/usr/local/bin/kanmon run --config /etc/kanmon/other.toml ; ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }
LimitNOFILE=65536
AmbientCapabilities=cap_net_admin cap_net_raw
User=kanmon
ReadWritePaths=/srv/a /srv/b
ProtectHome=yes
ProtectSystem=strict
RuntimeDirectory=kanmon
StateDirectory=kanmon
LogsDirectory=kanmon mail/kanmon
LoadState=loaded
ActiveState=active
UnitFileState=disabled
`

func TestTheUnitIsUnderstood(t *testing.T) {
	got := parseService(parseShow(shown))
	want := &Service{
		Unit: serviceUnit, Active: true, PID: 4711, User: "kanmon", Config: "/etc/kanmon/other.toml", FileLimit: 65536,
		Ambient: []string{"cap_net_admin", "cap_net_raw"}, ReadOnly: true, ReadWrite: []string{"/srv/a", "/srv/b"}, HidesHome: true,
		State: []string{"kanmon"}, Logs: []string{"kanmon", "mail/kanmon"}, Runtime: []string{"kanmon"},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"/run/kanmon", "/var/lib/kanmon", "/var/log/kanmon", "/var/log/mail/kanmon"}, got.Folders()); diff != "" {
		t.Errorf("folders: %s", diff)
	}
	socket := parseShow("Listen=127.0.0.1:10025 (Stream)\nListen=[::1]:10025 (Stream)\nListen=/run/x.sock (Stream)\nActiveState=inactive\n")
	if list := parseListen(socket["Listen"]); len(list) != 2 || list[0] != netip.MustParseAddrPort("127.0.0.1:10025") || list[1] != netip.MustParseAddrPort("[::1]:10025") {
		t.Errorf("sockets %v", list)
	}
	for text, want := range map[string]uint64{"LimitNOFILE=infinity\n": unlimited, "LimitNOFILE=1024\n": 1024} {
		if got := parseService(parseShow(text)).FileLimit; got != want {
			t.Errorf("%s: %d", text, got)
		}
	}
	for command, want := range map[string]string{"argv[]=/usr/bin/kanmon run ;": "", "argv[]=kanmon run -c /a.toml ;": "/a.toml", "argv[]=kanmon run --config=/b.toml ;": "/b.toml"} {
		if got := configIn(command); got != want {
			t.Errorf("%s: %q", command, got)
		}
	}
}
