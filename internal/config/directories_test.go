package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kanmon/internal/intercept"
)

const fiveLines = `[intercept]
sources = ["10.20.0.0/16"]
[[sending_ip]]
address = "203.0.113.10"
ehlo    = "out10.example.jp"
`

// written lists what a configuration writes, in the order of the documentation.
func written(cfg *Config) []string {
	return []string{cfg.Journal.SessionLog, cfg.Journal.Records, cfg.Standing.File, cfg.Senders.File, cfg.Admin.Socket}
}

// Five lines are a complete configuration where systemd gives the directories: what is learnt, recorded and asked has its place.
//
// firstday-18
func TestServiceRecordsAndRemembersWithoutAWord(t *testing.T) {
	for variable, dirs := range map[string]string{"STATE_DIRECTORY": "/var/lib/kanmon:/var/lib/other", "LOGS_DIRECTORY": "/var/log/kanmon", "RUNTIME_DIRECTORY": "/run/kanmon"} {
		t.Setenv(variable, dirs)
	}
	cfg, err := Parse("kanmon.toml", []byte(fiveLines))
	if err != nil {
		t.Fatal(err)
	}
	want := "/var/log/kanmon/session.log /var/log/kanmon/records.jsonl /var/lib/kanmon/standing.db /var/lib/kanmon/senders.db /run/kanmon/admin.sock"
	if got := strings.Join(written(cfg), " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Outside of systemd nothing is written that the file does not name.
func TestNothingIsWrittenUnasked(t *testing.T) {
	for _, variable := range []string{"STATE_DIRECTORY", "LOGS_DIRECTORY", "RUNTIME_DIRECTORY"} {
		t.Setenv(variable, "")
	}
	cfg, err := Parse("kanmon.toml", []byte(fiveLines))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(written(cfg), ""); got != "" {
		t.Errorf("written: %q", written(cfg))
	}
}

// What is written by default is moved by a path and switched off by a word.
func TestDefaultPathsGiveWay(t *testing.T) {
	dirs := Directories{State: "/s", Runtime: "/r", Logs: "/l"}
	cfg, err := parse("kanmon.toml", []byte(fiveLines+`[journal]
records = "off"
session_log = "off"
[standing]
file = "/elsewhere/standing.db"
[senders]
file = "off"
[admin]
socket = "off"
`), dirs)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(written(cfg), ","); got != ",,/elsewhere/standing.db,," {
		t.Errorf("got %q", got)
	}
}

// The admin socket is found without a configuration, and where the file is wrong elsewhere.
//
// firstday-17, firstday-18
func TestAdminSocketIsFoundWithoutAConfiguration(t *testing.T) {
	t.Setenv("RUNTIME_DIRECTORY", "")
	file := filepath.Join(t.TempDir(), "kanmon.toml")
	if got, err := AdminSocket(file); got != DefaultSocket || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %s, %v", got, err)
	}
	for _, row := range []struct {
		doc, want string
		wrong     bool
	}{
		{fiveLines, DefaultSocket, false},
		{"[admin]\nsocket = '/x/y.sock'\n", "/x/y.sock", false},
		{"colour = 'blue'\nadmin.socket = '/x/y.sock'\n", "/x/y.sock", false},
		{"[admin]\nsocket = 'off'\n", Off, false},
		{"admin = 3\n", DefaultSocket, false},
		{"[admin\nsocket = '/x/y.sock'\n", DefaultSocket, true},
		{"hostname = 'half\n[admin] # of the operator\nsocket = '/x/y.sock'\n[log]\nlevel =\n", "/x/y.sock", false}, // somebody edits it
		{"[log]\nlevel =\n  [admin]\n  socket = '/x/y.sock'\n", "/x/y.sock", false},
		{"[admin]\nsocket = '/x/y\n[log]\nlevel =\n", DefaultSocket, true},
	} {
		if err := os.WriteFile(file, []byte(row.doc), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := AdminSocket(file); got != row.want || err != nil != row.wrong {
			t.Errorf("%q: %s, %v", row.doc, got, err)
		}
	}
}

// A key that a reload cannot change is one that is described so: the pages and the reload cannot differ.
func TestRestartIsNeededForWhatSaysSo(t *testing.T) {
	was, will := defaults(), defaults()
	will.Intercept.Mode, will.Admin.Socket, will.Log.Level = intercept.TProxy, "/x", "debug"
	found, err := RestartNeeded(was, will)
	if err != nil || len(found) != 2 || found[0].Key != "intercept.mode" || found[1] != (Difference{"admin.socket", "", "/x"}) {
		t.Errorf("%v, %v", found, err)
	}
}
