package daemon

import (
	"database/sql"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kanmon/internal/admin/check"
)

// firstday-25: what a start refuses, kanmon check has said before, with the same words; and what it calls good, starts. What only another
// kanmon makes wrong, which is in the way as long as it runs, is left to the start.
func TestCheckRefusesWhatAStartRefuses(t *testing.T) {
	const journalled = listenTable + "[journal]\nsession_log = 'DIR/session.log'\n"
	hashed := "[journal]\nsession_log = 'DIR/session.log'\naddresses = 'hashed'\nhash_key_file = 'DIR/key'\n"
	write := func(name, content string) func(*world) {
		return func(w *world) { w.write(name, content) }
	}
	for name, test := range map[string]struct {
		tables string
		before func(*world)
		id     string // of the finding that is refused; "": it starts
	}{
		"good":                       {journalled, nil, ""},
		"sending IP":                 {listenTable + "[[sending_ip]]\naddress = '203.0.113.1'\nehlo = 'a.example.jp'\n", nil, ""},
		"required sending IP":        {listenTable + "[[sending_ip]]\naddress = '203.0.113.1'\nehlo = 'a.example.jp'\nrequired = true\n", nil, "sending-ip-required"},
		"listener":                   {"[intercept]\nlisten = ['203.0.113.1:PORT']\n", nil, "listen-absent"},
		"rules file":                 {listenTable + "[classification]\nrules = 'DIR/rules.toml'\n", nil, "file-missing"},
		"rules file that is wrong":   {listenTable + "[classification]\nrules = 'DIR/rules.toml'\n", write("rules.toml", "[[rule"), "rules-file-wrong"},
		"rules file that is good":    {listenTable + "[classification]\nrules = 'DIR/rules.toml'\n", write("rules.toml", ""), ""},
		"folder of the log":          {listenTable + "[journal]\nsession_log = 'DIR/none/session.log'\n", nil, "folder-missing"},
		"folder of the records":      {listenTable + "[journal]\nrecords = 'DIR/none/records.jsonl'\n", nil, "folder-missing"},
		"log that is a folder":       {listenTable + "[journal]\nsession_log = 'DIR'\n", nil, "path-wrong"},
		"hash key":                   {listenTable + hashed, nil, "file-missing"},
		"hash key that is short":     {listenTable + hashed, write("key", "short"), "hash-key-short"},
		"hash key that is good":      {listenTable + hashed, write("key", "0123456789abcdef"), ""},
		"folder of the standing":     {listenTable + "[standing]\nfile = 'DIR/none/standing.db'\n", nil, "folder-missing"},
		"standing that is none":      {listenTable + "[standing]\nfile = 'DIR/standing.db'\n", write("standing.db", "not a database, but quite long"), "state-wrong"},
		"standing that was emptied":  {listenTable + "[standing]\nfile = 'DIR/standing.db'\n", write("standing.db", ""), "state-wrong"},
		"senders that were emptied":  {listenTable + "[senders]\nfile = 'DIR/senders.db'\n", write("senders.db", ""), "state-wrong"},
		"standing of a newer kanmon": {listenTable + "[standing]\nfile = 'DIR/standing.db'\n", newer("standing_schema"), "state-newer"},
		"senders of a newer kanmon":  {listenTable + "[senders]\nfile = 'DIR/standing.db'\n", newer("policy_schema"), "state-newer"},
		"folder of the senders":      {listenTable + "[senders]\nfile = 'DIR/none/senders.db'\n", nil, "folder-missing"},
		"senders that are a folder":  {listenTable + "[senders]\nfile = 'DIR'\n", nil, "path-wrong"},
		"folder of the socket":       {listenTable + "[admin]\nsocket = 'DIR/none/admin.sock'\n", nil, "folder-missing"},
		"socket that is a file":      {listenTable + "[admin]\nsocket = 'DIR/admin.sock'\n", write("admin.sock", ""), "path-wrong"},
		"socket that is good":        {listenTable + "[admin]\nsocket = 'DIR/admin.sock'\n", nil, ""},
		"certificate":                {listenTable + "[tls]\nmsa_certificate = 'DIR/cert.pem'\nmsa_key = 'DIR/key.pem'\n", nil, "file-missing"},
		"certificate that is none":   {listenTable + "[tls]\nmsa_certificate = 'DIR/cert.pem'\nmsa_key = 'DIR/key.pem'\n", func(w *world) { w.write("cert.pem", "x"); w.write("key.pem", "x") }, "certificate-wrong"},
		"port":                       {listenTable, (*world).takePort, "port-taken"},
		"user":                       {"[intercept]\nlisten = ['127.0.0.1:PORT']\nlocal = true\nuser = 'nobody-of-this-name'\n", nil, "user-missing"},
		"another user":               {"[intercept]\nlisten = ['127.0.0.1:PORT']\nlocal = true\nuser = '65534'\n", nil, "user-differs"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, test.tables)
			if test.before != nil {
				test.before(w)
			}
			found := check.Run(t.Context(), Site(w.daemon.cfg, &check.Host{}))
			refused := slices.DeleteFunc(found, func(f check.Finding) bool { return !f.Refuses })
			if test.id == "" {
				if len(refused) > 0 {
					t.Errorf("check refuses %v", refused)
				}
				w.start()
				w.stop()
				return
			}
			if len(refused) == 0 || refused[0].ID != test.id {
				t.Fatalf("check refuses %v, want %s", refused, test.id)
			}
			err := w.daemon.Start(t.Context())
			if err == nil {
				w.stop()
				t.Fatal("it starts")
			}
			for _, f := range refused {
				if !strings.Contains(err.Error(), f.Where+": "+f.What) {
					t.Errorf("Start = %v, want %s", err, f)
				}
			}
		})
	}
}

func (w *world) write(name, content string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// takePort listens where the daemon is to listen.
func (w *world) takePort() {
	w.t.Helper()
	l, err := net.Listen("tcp", w.daemon.cfg.Intercept.Listen[0].String())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = l.Close() })
}

// newer makes a file of state that a later version has written.
func newer(table string) func(*world) {
	return func(w *world) {
		w.t.Helper()
		db, err := sql.Open("sqlite", "file:"+filepath.Join(w.dir, "standing.db"))
		if err != nil {
			w.t.Fatal(err)
		}
		for _, statement := range []string{"CREATE TABLE " + table + " (version INTEGER NOT NULL)", "INSERT INTO " + table + " VALUES (1000)"} {
			if _, err := db.ExecContext(w.t.Context(), statement); err != nil {
				w.t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			w.t.Fatal(err)
		}
	}
}
