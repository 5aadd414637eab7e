package config

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// goodHost is a host that gives everything; a test takes something away.
func goodHost(t *testing.T) *Host {
	t.Helper()
	h := &Host{
		Proc: t.TempDir(),
		Addresses: func() ([]net.Addr, error) {
			return []net.Addr{
				&net.IPNet{IP: net.ParseIP("203.0.113.10"), Mask: net.CIDRMask(24, 32)},
				&net.IPNet{IP: net.ParseIP("203.0.113.11"), Mask: net.CIDRMask(24, 32)},
				&net.IPNet{IP: net.ParseIP("2001:db8::10"), Mask: net.CIDRMask(64, 128)},
			}, nil
		},
		Interface:  func(string) error { return nil },
		FileLimit:  func() (uint64, error) { return 1 << 20, nil },
		LookPath:   func(name string) (string, error) { return "/usr/sbin/" + name, nil },
		LookupUser: func(string) error { return nil },
		Access:     func(string) error { return nil },
		Now:        func() time.Time { return time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC) },
	}
	setProc(t, h, "self/status", "Name:\tkanmon\nCapEff:\t0000000000003000\n")
	setProc(t, h, "sys/net/core/somaxconn", "4096\n")
	setProc(t, h, "sys/net/netfilter/nf_conntrack_max", "262144\n")
	setProc(t, h, "sys/net/ipv4/ip_local_port_range", "32768\t60999\n")
	setProc(t, h, "sys/net/ipv4/conf/all/src_valid_mark", "0\n")
	setProc(t, h, "sys/net/ipv4/conf/eth1/src_valid_mark", "0\n")
	return h
}

func setProc(t *testing.T, h *Host, path, content string) {
	t.Helper()
	path = filepath.Join(h.Proc, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// plain is a configuration that goodHost has nothing to say about.
const plain = `[intercept]
sources = ["10.20.0.0/16"]

[journal]
session_log = "-"
`

// twoFamilies sends from two IPv4 addresses and one IPv6 address.
const twoFamilies = plain + "[[sending_ip]]\naddress = '203.0.113.10'\nehlo = 'a.example.jp'\n" +
	"[[sending_ip]]\naddress = '203.0.113.11'\nehlo = 'b.example.jp'\n[[sending_ip]]\naddress = '2001:db8::10'\nehlo = 'a.example.jp'\n" +
	"[limits]\nsessions = 12000\n"

// pools has no fault: two pools of both families, all in use. Its only route takes everything.
const pools = plain + `[[sending_ip]]
address = '203.0.113.10'
ehlo    = 'a.example.jp'
[[sending_ip]]
address = '203.0.113.11'
ehlo    = 'b.example.jp'
[[sending_ip]]
address = '2001:db8::10'
ehlo    = 'a.example.jp'
[pool.default]
ips = ['203.0.113.10', '2001:db8::10']
[pool.bulk]
ips = ['203.0.113.11', '2001:db8::10']
[[route]]
pool = 'bulk'
`

func TestCheck(t *testing.T) {
	tests := []struct {
		name string
		doc  string
		host func(*testing.T, *Host)
		want string // a part of the only finding; "": none
	}{
		{"nothing", plain, nil, ""},
		{"good sending IPs", plain + "[[sending_ip]]\naddress = '203.0.113.10'\nehlo = 'a.example.jp'\n[[sending_ip]]\naddress = '2001:db8::10'\nehlo = 'a.example.jp'\n", nil, ""},
		{
			"sending IP not here", plain + "[[sending_ip]]\naddress = '203.0.113.10'\nehlo = 'a.example.jp'\n[[sending_ip]]\naddress = '2001:db8::11'\nehlo = 'a.example.jp'\n", nil,
			"error: kanmon.toml:10: sending_ip[1].address: 2001:db8::11 is not an address of this host\n      = ip address add 2001:db8::11/128 dev INTERFACE preferred_lft 0",
		},
		{"no IPv6 sending IP", plain + "[[sending_ip]]\naddress = '203.0.113.10'\nehlo = 'a.example.jp'\n", nil, "warning: kanmon.toml:6: sending_ip: none is IPv6"},
		{"no IPv4 sending IP", plain + "[[sending_ip]]\naddress = '2001:db8::10'\nehlo = 'a.example.jp'\n", nil, "none is IPv4"},
		{"pools", pools, nil, ""},
		{"pool without IPv6", strings.Replace(pools, "'203.0.113.11', '2001:db8::10']", "'203.0.113.11']", 1), nil, `warning: kanmon.toml:17: pool.bulk: pool "bulk" has no IPv6 address, and pool "default" has: its mail to IPv6`},
		{"pool that nobody uses", strings.Replace(pools, "pool = 'bulk'", "pool = 'default'", 1), nil, `kanmon.toml:17: pool.bulk: no tenant and no route uses pool "bulk"`},
		{"sending IP in no pool", strings.Replace(pools, "'203.0.113.11', ", "'203.0.113.10', ", 1), nil, "kanmon.toml:9: sending_ip[1]: 203.0.113.11 is in no pool"},
		{"route behind one without conditions", pools + "[[route]]\nnull_sender = true\npool = 'default'\n", nil, "warning: kanmon.toml:21: route[1]: never matches: route 1, in line 19, takes all its mail"},
		{
			"listener not here", "intercept = { listen = ['10.20.0.1:10025'], sources = ['10.20.0.0/16'] }\njournal.session_log = '-'\n", nil,
			"error: kanmon.toml:1: intercept.listen[0]: 10.20.0.1 is not an address of this host",
		},
		{"nobody's mail", "journal.session_log = '-'\n", nil, "warning: intercept: nobody's mail is intercepted"},
		{
			"interface missing", strings.Replace(plain, "sources = [\"10.20.0.0/16\"]", "interfaces = ['msa*', 'eth9']", 1),
			func(_ *testing.T, h *Host) {
				h.Interface = func(string) error { return errors.New("no such interface") }
			}, "kanmon.toml:2: intercept.interfaces[1]: this host has no interface \"eth9\"",
		},
		{
			"user missing", strings.Replace(plain, "sources", "local = true\nsources", 1),
			func(_ *testing.T, h *Host) { h.LookupUser = func(string) error { return errors.New("unknown user") } }, "error: intercept.user: there is no user \"kanmon\"",
		},
		{
			"nft missing", strings.Replace(plain, "sources", "manage_rules = true\nsources", 1),
			func(_ *testing.T, h *Host) {
				h.LookPath = func(string) (string, error) { return "", errors.New("not found") }
			}, "error: kanmon.toml:2: intercept.manage_rules: the program nft is not installed",
		},
		{"rules without privilege", strings.Replace(plain, "sources", "manage_rules = true\nsources", 1), noCapabilities, "warning: kanmon.toml:2: intercept.manage_rules: applying rules needs CAP_NET_ADMIN"},
		{"tproxy without privilege", strings.Replace(plain, "sources", "mode = 'tproxy'\nsources", 1), noCapabilities, "intercept.mode: a transparent listener needs CAP_NET_RAW"},
		{"tproxy with sockets from systemd", strings.Replace(plain, "sources", "mode = 'tproxy'\nsources", 1), func(t *testing.T, h *Host) {
			noCapabilities(t, h)
			h.SocketsGiven = true
		}, ""},
		{"mark without privilege", strings.Replace(plain, "sources", "mark = 0x2525\nsources", 1), noCapabilities, "intercept.mark: marking connections needs CAP_NET_RAW"},
		{
			"few descriptors", plain, func(_ *testing.T, h *Host) { h.FileLimit = func() (uint64, error) { return 20_000, nil } },
			"limits.sessions: 10000 sessions need 21000 open files, this process may have 20000 (RLIMIT_NOFILE)\n      = LimitNOFILE=21000 in kanmon.service, or sessions = 9500",
		},
		{"very few descriptors", plain, func(_ *testing.T, h *Host) { h.FileLimit = func() (uint64, error) { return 256, nil } }, "or sessions = 1"},
		{"unlimited descriptors", plain, func(_ *testing.T, h *Host) { h.FileLimit = func() (uint64, error) { return 1<<64 - 1, nil } }, ""},
		{"short backlog", plain, proc("sys/net/core/somaxconn", "128\n"), "net.core.somaxconn: 128: a burst of connections would be dropped\n      = sysctl -w net.core.somaxconn=1024"},
		{"small conntrack", plain, proc("sys/net/netfilter/nf_conntrack_max", "8192\n"), "net.netfilter.nf_conntrack_max: 8192 entries, but 10000 redirected sessions need 20000"},
		{"small conntrack with tproxy", strings.Replace(plain, "sources", "mode = 'tproxy'\nsources", 1), proc("sys/net/netfilter/nf_conntrack_max", "8192\n"), ""},
		{"few ports", plain, proc("sys/net/ipv4/ip_local_port_range", "60000\t60999\n"), "1000 source ports toward one IPv4 MX, but 10000 sessions"},
		{"few ports of one family", twoFamilies, proc("sys/net/ipv4/ip_local_port_range", "50000\t60999\n"), "11000 source ports toward one IPv6 MX, but 12000 sessions may all go there"},
		{"enough ports of the other family", twoFamilies, proc("sys/net/ipv4/ip_local_port_range", "50000\t61999\n"), ""},
		{"no nft", plain, func(_ *testing.T, h *Host) { h.LookPath = func(string) (string, error) { return "", os.ErrNotExist } }, "warning: intercept.manage_rules: the program nft is not installed: `kanmon rules apply` needs it"},
		{"src_valid_mark", strings.Replace(plain, "sources", "mode = 'tproxy'\nsources", 1), proc("sys/net/ipv4/conf/eth1/src_valid_mark", "1\n"), "net.ipv4.conf.eth1.src_valid_mark: with 1"},
		{"src_valid_mark with redirect", plain, proc("sys/net/ipv4/conf/eth1/src_valid_mark", "1\n"), ""},
		{"short drain", plain + "[drain]\ntimeout = '5m'\n", nil, "warning: kanmon.toml:7: drain.timeout: 5m"},
		{"drain shorter than dot", plain + "[timeouts]\ndot = '30m'\n", nil, "drain.timeout: 15m"},
		{"nothing recorded", plain[:strings.Index(plain, "[journal]")], nil, "warning: journal: nothing is recorded"},
		{"log folder missing", strings.Replace(plain, `"-"`, `"/nonexistent/kanmon/session.log"`, 1), nil, "error: kanmon.toml:5: journal.session_log: /nonexistent/kanmon: no such file or directory"},
		{"log is a directory", strings.Replace(plain, `"-"`, `"/"`, 1), nil, "/ is a directory"},
		{"log not writable", strings.Replace(plain, `"-"`, `"/session.log"`, 1), func(_ *testing.T, h *Host) { h.Access = func(string) error { return os.ErrPermission } }, "warning: kanmon.toml:5: journal.session_log: / cannot be written by this user"},
		{"hash key missing", plain + "addresses = 'hashed'\nhash_key_file = '/nonexistent/key'\n", nil, "error: kanmon.toml:7: journal.hash_key_file: /nonexistent/key: no such file"},
		{"certificate missing", plain + "[tls]\nmsa_certificate = '/nonexistent/cert'\nmsa_key = '/nonexistent/key'\n", nil, "error: kanmon.toml:7: tls.msa_certificate: /nonexistent/cert: no such file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg, err := Parse("kanmon.toml", []byte(test.doc+"[standing]\nfile = '/var/lib/kanmon/standing.db'\n"))
			if err != nil {
				t.Fatal(err)
			}
			host := goodHost(t)
			if test.host != nil {
				test.host(t, host)
			}
			expectFinding(t, host.Check(t.Context(), cfg), test.want)
		})
	}
}

// What ends with the process is told, where there is something to remember.
func TestCheckMemory(t *testing.T) {
	tenant := "[[tenant]]\nname = 'acme'\nsources = ['10.20.1.0/24']\n"
	for doc, want := range map[string]string{
		twoFamilies: "warning: standing.file: which sending IPs are suspended",
		twoFamilies + "[standing]\nfile = '/var/lib/kanmon/standing.db'\n": "",
		plain + tenant: "warning: senders.file: blocks, limits by hand and what was learnt of senders are forgotten at a restart, and there is no audit",
		plain + tenant + "[senders]\nfile = '/var/lib/kanmon/senders.db'\n": "",
	} {
		cfg, err := Parse("kanmon.toml", []byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		expectFinding(t, goodHost(t).Check(t.Context(), cfg), want)
	}
}

func expectFinding(t *testing.T, findings []Finding, want string) {
	t.Helper()
	switch {
	case want == "" && len(findings) > 0:
		t.Errorf("findings %v, want none", findings)
	case want != "" && (len(findings) != 1 || !strings.Contains(findings[0].String(), want)):
		t.Errorf("findings %v, want one with %q", findings, want)
	}
}

func noCapabilities(t *testing.T, h *Host) {
	setProc(t, h, "self/status", "Name:\tkanmon\nCapEff:\t0000000000000000\n")
}

func proc(path, content string) func(*testing.T, *Host) {
	return func(t *testing.T, h *Host) { setProc(t, h, path, content) }
}

func TestCheckHashKey(t *testing.T) {
	key := filepath.Join(t.TempDir(), "hash.key")
	doc := plain + "addresses = 'hashed'\nhash_key_file = " + strconv.Quote(key) + "\n"
	cfg, err := Parse("kanmon.toml", []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	for size, want := range map[int]string{15: "has 15 octets, want at least 16", 16: ""} {
		if err := os.WriteFile(key, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		expectFinding(t, goodHost(t).Check(t.Context(), cfg), want)
	}
}

func TestCheckCertificate(t *testing.T) {
	host := goodHost(t)
	now := host.Now()
	good, goodKey := writeCertificate(t, now.Add(-time.Hour), now.Add(time.Hour))
	late, lateKey := writeCertificate(t, now.Add(-2*time.Hour), now.Add(-time.Hour))
	early, earlyKey := writeCertificate(t, now.Add(time.Hour), now.Add(2*time.Hour))
	for _, test := range []struct{ name, cert, key, want string }{
		{"good", good, goodKey, ""},
		{"expired", late, lateKey, "warning: kanmon.toml:7: tls.msa_certificate: " + late + " expired on 2026-06-30"},
		{"not yet valid", early, earlyKey, "is not valid before 2026-07-01 01:00:00"},
		{"key of another", good, lateKey, "are no certificate with its key"},
		{"no certificate", goodKey, goodKey, "are no certificate with its key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			doc := plain + "[tls]\nmsa_certificate = " + strconv.Quote(test.cert) + "\nmsa_key = " + strconv.Quote(test.key) + "\n"
			cfg, err := Parse("kanmon.toml", []byte(doc))
			if err != nil {
				t.Fatal(err)
			}
			expectFinding(t, host.Check(t.Context(), cfg), test.want)
		})
	}
}

func writeCertificate(t *testing.T, from, until time.Time) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "gw.example.jp"}, NotBefore: from, NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// A host that tells nothing is not a host that lacks everything.
func TestCheckSilentHost(t *testing.T) {
	cfg, err := Parse("kanmon.toml", []byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	host := goodHost(t)
	host.Proc = t.TempDir()
	host.Addresses = func() ([]net.Addr, error) { return nil, errors.New("refused") }
	host.FileLimit = func() (uint64, error) { return 0, errors.New("refused") }
	expectFinding(t, host.Check(t.Context(), cfg), "warning: sending_ip: the addresses of this host could not be read: refused")
}

// The zero Host asks this machine; whatever it finds, it must find it without an error of its own.
func TestCheckThisHost(t *testing.T) {
	cfg, err := Parse("kanmon.toml", []byte("[[sending_ip]]\naddress = '203.0.113.1'\nehlo = 'a.example.jp'\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range Check(t.Context(), cfg) {
		if f.Severity == SeverityError && strings.Contains(f.What, "203.0.113.1 is not an address of this host") {
			return
		}
	}
	t.Error("an address for documentation (RFC 5737) is said to be on this host")
}

func TestCheckEndsWithContext(t *testing.T) {
	cfg, err := Parse("kanmon.toml", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if findings := goodHost(t).Check(ctx, cfg); len(findings) != 0 {
		t.Errorf("findings after the end: %v", findings)
	}
}
