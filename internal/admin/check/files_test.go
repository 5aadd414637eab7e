package check

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Configurations that name files. The site's own files are DIR/standing.db and DIR/senders.db.
const recorded = "[intercept]\nsources = ['10.20.0.0/16']\n[journal]\nrecords = 'DIR/log/records.jsonl'\n"

func hashedDoc() string {
	return edited(plain, "session_log = \"-\"\n", "session_log = \"-\"\naddresses = 'hashed'\nhash_key_file = 'DIR/key'\n")
}

func certified() string {
	return plain + "[tls]\nmsa_certificate = 'DIR/cert.pem'\nmsa_key = 'DIR/key.pem'\n"
}

// file puts something at a path of the test's folder.
func file(name, content string) func(*rig) {
	return func(r *rig) { r.write(filepath.Join(r.dir, name), content) }
}

// firstday-25: what keeps kanmon from starting is found before.
func fileRows() []row {
	now := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	valid := pemFiles(now.Add(-time.Hour), now.Add(time.Hour))
	ownRules := plain + "[classification]\nrules = 'DIR/rules.toml'\n"
	return []row{
		{id: "file-missing", name: "classifier's rules", doc: ownRules, want: "classification.rules: DIR/rules.toml: no such file or directory", good: ownRules, goodHost: file("rules.toml", "")},
		{id: "file-missing", name: "hash key", doc: hashedDoc(), want: "journal.hash_key_file: DIR/key: no such file", good: hashedDoc(), goodHost: file("key", "0123456789abcdef")},
		{id: "file-missing", name: "key of the certificate", doc: certified(), host: func(r *rig) { valid(r); r.remove("key.pem") }, want: "tls.msa_key: DIR/key.pem: no such file", good: certified(), goodHost: valid},
		{id: "rules-file-wrong", name: "classifier's rules", doc: ownRules, host: file("rules.toml", "[[rule\n"), want: "classification.rules: ", good: ownRules, goodHost: file("rules.toml", "")},
		{id: "hash-key-short", name: "hash key", doc: hashedDoc(), host: file("key", "0123456789abcde"), want: "has 15 octets, want at least 16", good: hashedDoc(), goodHost: file("key", "0123456789abcdef")},
		{id: "path-wrong", name: "records", doc: recorded, host: func(r *rig) { r.folder("log/records.jsonl") }, want: "DIR/log/records.jsonl is a directory", good: recorded, goodHost: func(r *rig) { r.folder("log") }},
		{
			id: "path-wrong", name: "records in a file that is read", doc: edited(ownRules, "[journal]", "[journal]\nrecords = 'DIR/rules.toml'"),
			host: file("rules.toml", ""), want: "journal.records: DIR/rules.toml is the file of classification.rules, too", good: ownRules, goodHost: file("rules.toml", ""),
		},
		{
			id: "path-wrong", name: "session log in the records, by another name",
			doc:  edited(recorded, "[journal]", "[journal]\nsession_log = 'DIR/alias'"),
			host: func(r *rig) { r.folder("log"); file("log/records.jsonl", "")(r); r.alias("log/records.jsonl", "alias") },
			want: "journal.session_log: DIR/alias is the file of journal.records, too", good: recorded, goodHost: func(r *rig) { r.folder("log") },
		},
		{id: "path-wrong", name: "socket", doc: plain + "[admin]\nsocket = 'DIR/admin.sock'\n", host: file("admin.sock", ""), want: "admin.socket: DIR/admin.sock is a file that is no socket", good: plain + "[admin]\nsocket = 'DIR/admin.sock'\n"},
		{id: "path-wrong", name: "hash key", doc: hashedDoc(), host: func(r *rig) { r.folder("key") }, want: "DIR/key is a directory", good: hashedDoc(), goodHost: file("key", "0123456789abcdef")},
		{id: "state-wrong", name: "no database", doc: plain, host: file("standing.db", "[standing]\n"), want: "DIR/standing.db is no SQLite file"},
		{
			id: "state-wrong", name: "emptied", doc: plain, host: file("standing.db", ""), goodHost: database3,
			want: "DIR/standing.db has 0 octets, and none that kanmon makes has: it was emptied [state-wrong]\n" +
				"      why: kanmon does not start: it would lose what stands there\n" +
				"      = restore a backup of it (kanmon restore), or move the file away to begin without what it has",
		},
		{id: "state-wrong", name: "damaged", doc: plain, host: func(r *rig) { database3(r); r.damage("standing.db") }, want: "DIR/standing.db ", goodHost: database3},
		{id: "state-newer", name: "of a newer kanmon", doc: plain, host: stateOf(4), want: "DIR/standing.db is of a newer kanmon: it has schema 4, this one reads up to 3", goodHost: database3},
		{id: "folder-missing", name: "records", doc: recorded, want: "journal.records: DIR/log: no such file or directory [folder-missing]\n      why: kanmon does not start; a reload changes nothing\n      = install -d -o kanmon -m 0750 DIR/log", good: recorded, goodHost: func(r *rig) { r.folder("log") }},
		{id: "folder-missing", name: "standing", doc: edited(plain, "DIR/standing.db", "DIR/none/standing.db"), want: "standing.file: DIR/none: no such file"},
		{id: "folder-missing", name: "senders", doc: edited(acme, "DIR/senders.db", "DIR/none/senders.db"), want: "senders.file: DIR/none: no such file", good: acme},
		{id: "folder-missing", name: "socket", doc: plain + "[admin]\nsocket = 'DIR/run/admin.sock'\n", want: "admin.socket: DIR/run: no such file", good: plain + "[admin]\nsocket = 'DIR/run/admin.sock'\n", goodHost: func(r *rig) { r.folder("run") }},
		{
			// firstday-15
			id: "file-unreadable", name: "as kanmon's user", doc: ownRules, host: func(r *rig) { file("rules.toml", "")(r); r.asNobody(); r.mode("rules.toml", 0o600) },
			want: "DIR/rules.toml cannot be read by user nobody", good: ownRules, goodHost: func(r *rig) { file("rules.toml", "")(r); r.asNobody(); r.mode("rules.toml", 0o604) },
		},
		{
			id: "file-unreadable", name: "closed folder", doc: edited(ownRules, "DIR/rules.toml", "DIR/etc/rules.toml"), host: func(r *rig) { file("etc/rules.toml", "")(r); r.asNobody(); r.mode("etc", 0o700) },
			want: "DIR/etc/rules.toml, in the folder DIR/etc that is closed to it, cannot be read by user nobody",
		},
		{id: "not-writable", name: "folder", doc: plain, host: func(r *rig) { r.asNobody(); r.mode(".", 0o755) }, want: "standing.file: DIR cannot be written by user nobody", goodHost: (*rig).asNobody},
		{
			id: "not-writable", name: "file", doc: recorded, host: func(r *rig) { file("log/records.jsonl", "")(r); r.asNobody() }, want: "journal.records: DIR/log/records.jsonl cannot be written by user nobody",
			good: recorded, goodHost: func(r *rig) { file("log/records.jsonl", "")(r); r.asNobody(); r.mode("log/records.jsonl", 0o606) },
		},
		{
			id: "sandbox-forbids", name: "read-only for the unit", doc: plain, host: sandboxed, want: "kanmon.service lets kanmon write only in /run/kanmon, /var/lib/kanmon, /var/log/kanmon (ProtectSystem), not at DIR/standing.db",
			goodHost: func(r *rig) { sandboxed(r); r.service.ReadWrite = []string{r.dir} },
		},
		{
			id: "sandbox-forbids", name: "hidden from the unit", doc: edited(hashedDoc(), "DIR/key", "/root/kanmon/hash.key"), host: func(r *rig) { sandboxed(r); r.service.ReadWrite = []string{r.dir} }, want: "kanmon.service hides /root/kanmon/hash.key from kanmon (ProtectHome)",
		},
		{id: "certificate-expired", name: "expired", doc: certified(), host: pemFiles(now.Add(-2*time.Hour), now.Add(-time.Hour)), want: "DIR/cert.pem expired on 2026-06-30", good: certified(), goodHost: valid},
		{id: "certificate-early", name: "early", doc: certified(), host: pemFiles(now.Add(time.Hour), now.Add(2*time.Hour)), want: "is not valid before 2026-07-01 01:00:00", good: certified(), goodHost: valid},
		{id: "certificate-wrong", name: "key of another", doc: certified(), host: func(r *rig) { valid(r); key := r.read("key.pem"); valid(r); file("key.pem", key)(r) }, want: "are no certificate with its key", good: certified(), goodHost: valid},
		{
			id: "provider-risky", name: "zone of subscribers", doc: "providers_file = 'DIR/providers.toml'\n" + plain, good: "providers_file = 'DIR/providers.toml'\n" + plain,
			host: file("providers.toml", "[[provider]]\nname = 'isp'\ndomains = 'isp.example'\nmx = ['mx1.isp.example', '*.isp.example']\n"), want: `"*.isp.example" may be the name of a stranger's host`,
			goodHost: file("providers.toml", "[[provider]]\nname = 'isp'\ndomains = 'isp.example'\nmx = ['mx1.isp.example']\n"),
		},
	}
}

func sandboxed(r *rig) {
	s := r.unit()
	s.ReadOnly, s.HidesHome = true, true
}

func (r *rig) read(name string) string {
	r.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		r.Fatal(err)
	}
	return string(text)
}

func (r *rig) remove(name string) {
	r.Helper()
	if err := os.Remove(filepath.Join(r.dir, name)); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) folder(name string) {
	r.Helper()
	if err := os.MkdirAll(filepath.Join(r.dir, name), 0o755); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) mode(name string, mode os.FileMode) {
	r.Helper()
	if err := os.Chmod(filepath.Join(r.dir, name), mode); err != nil {
		r.Fatal(err)
	}
}

// asNobody looks as another user does, which only root can; the test's folder is open to everybody.
func (r *rig) asNobody() {
	r.Helper()
	if os.Getuid() != 0 {
		r.Fatal("this test needs root: it sees files as another user does")
	}
	for dir := r.dir; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o777); err != nil {
			r.Fatal(err)
		}
	}
	r.LookupUser = func(string) (*User, error) { return &nobodyUser, nil }
	r.Own = func() User { return User{Name: "root"} }
}

// stateOf makes a file of the standing, of a version.
func stateOf(version int) func(*rig) {
	return func(r *rig) {
		r.Helper()
		db, err := sql.Open("sqlite", "file:"+filepath.Join(r.dir, "standing.db"))
		if err != nil {
			r.Fatal(err)
		}
		for _, statement := range []string{
			"CREATE TABLE standing_schema (version INTEGER NOT NULL)", fmt.Sprintf("INSERT INTO standing_schema VALUES (%d)", version),
			"CREATE TABLE much (text TEXT)", "INSERT INTO much WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 500) SELECT hex(randomblob(100)) FROM n",
			"CREATE INDEX of_much ON much (text)",
		} {
			if _, err := db.ExecContext(r.Context(), statement); err != nil {
				r.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			r.Fatal(err)
		}
	}
}

func database3(r *rig) { stateOf(3)(r) }

// alias makes a second name of a file.
func (r *rig) alias(name, alias string) {
	r.Helper()
	if err := os.Symlink(filepath.Join(r.dir, name), filepath.Join(r.dir, alias)); err != nil {
		r.Fatal(err)
	}
}

// The records are not written to the end of the configuration, which no start could read any more.
func TestTheConfigurationIsNotWrittenTo(t *testing.T) {
	r := newRig(t)
	path := filepath.Join(r.dir, "kanmon.toml")
	r.write(path, edited(strings.ReplaceAll(plain, "DIR", r.dir), "[journal]", "[journal]\nrecords = '"+path+"'"))
	r.wantOnly(r.checkFile(path), "path-wrong", "journal.records: "+path+" is the file of the configuration, too")
}

// damage writes nonsense into the middle of a file.
func (r *rig) damage(name string) {
	r.Helper()
	text := []byte(r.read(name))
	for i := len(text) / 2; i < len(text)/2+20_000; i++ {
		text[i] = 0xa5
	}
	r.write(filepath.Join(r.dir, name), string(text))
}

var nobodyUser = User{Name: "nobody", ID: 65534, Groups: []int{65534}}

// pemFiles makes a certificate and its key.
func pemFiles(from, until time.Time) func(*rig) {
	return func(r *rig) {
		r.Helper()
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			r.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "gw.example.jp"}, NotBefore: from, NotAfter: until}
		der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
		if err != nil {
			r.Fatal(err)
		}
		keyDER, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			r.Fatal(err)
		}
		for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: keyDER}} {
			file(name, string(pem.EncodeToMemory(block)))(r)
		}
	}
}

// What systemd makes before it starts the unit is not missing.
func TestFoldersOfTheUnitAreNotMissing(t *testing.T) {
	r := newRig(t)
	sandboxed(r)
	r.service.Runtime = []string{"kanmon-is-not-here"}
	doc := edited(plain, "DIR/standing.db", "/run/kanmon-is-not-here/standing.db")
	r.wantOnly(r.check(doc), "", "")
	r.service.Runtime = nil
	r.wantOnly(r.check(doc), "sandbox-forbids", "/run/kanmon-is-not-here")
}

// firstday-15: the configuration itself is seen with kanmon's eyes, too.
func TestTheConfigurationIsReadAsKanmonsUser(t *testing.T) {
	r := newRig(t)
	path := filepath.Join(r.dir, "kanmon.toml")
	file("kanmon.toml", edited(plain, "DIR", r.dir))(r)
	r.asNobody()
	r.As = &nobodyUser
	for mode, id := range map[os.FileMode]string{0o640: "file-unreadable", 0o644: ""} {
		r.mode("kanmon.toml", mode)
		r.wantOnly(r.checkFile(path), id, "the configuration: "+path+" cannot be read by user nobody")
	}
	if f, err := os.Open("/proc/self/mem"); err == nil {
		_ = f.Close() // this thread is still root's
	} else {
		t.Errorf("after the look this process has lost its rights: %v", err)
	}
}
