package config

import (
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kanmon/internal/event/journal"
	"kanmon/internal/intercept"
	"kanmon/internal/outlet/route"
	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/content"
	"kanmon/internal/policy/limit"
	"kanmon/internal/session"
	"kanmon/internal/who/mailbox"
)

var update = flag.Bool("update", false, "write the expected errors of testdata/bad anew")

// Every wrong file has its exact errors beside it: what an operator reads is part of the program.
// law: B-config
func TestBadFiles(t *testing.T) {
	compareErrors(t, "testdata/bad/*.toml", 25, func(doc []byte) error {
		cfg, err := Parse("kanmon.toml", doc)
		if cfg != nil {
			t.Errorf("Parse gives a configuration with %v", err)
		}
		return err
	})
}

// compareErrors gives the files to parse, which must find what stands beside each.
func compareErrors(t *testing.T, pattern string, least int, parse func([]byte) error) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) < least {
		t.Fatalf("%d wrong files, want at least %d (%v)", len(files), least, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".toml"), func(t *testing.T) {
			doc, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			err = parse(doc)
			var errs Errors
			if !errors.As(err, &errs) {
				t.Fatalf("error %v, want Errors", err)
			}
			golden := strings.TrimSuffix(file, ".toml") + ".err"
			got := err.Error() + "\n"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGoodFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/good/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no good files: %v", err)
	}
	for _, file := range append(files, "../../dist/kanmon.toml") {
		if _, err := Load(file); err != nil {
			t.Errorf("%s:\n%v", file, err)
		}
	}
}

// everything.toml sets every key to something that is not its default, so that no key is read into a wrong field. But
// for providers_file: it is read at once, so it must be there; TestProvidersFile has one; and for TLS of the page, which has none at the socket
// that is here: TestPageWithTLS.
func TestEverythingIsRead(t *testing.T) {
	got, err := Load("testdata/good/everything.toml")
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Hostname: "gw.example.jp", OnUnreachable: session.UnreachableReply,
		Intercept: Intercept{
			Mode:        intercept.Redirect,
			Listen:      []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:10026"), netip.MustParseAddrPort("[::]:10026")},
			Sources:     []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16"), netip.MustParsePrefix("2001:db8:20::/48")},
			Interfaces:  []string{"eth1"},
			Local:       true,
			ManageRules: true,
			RulesOnStop: RulesRemove,
			User:        "mailgate",
			TProxyMark:  0x1000,
			TProxyTable: 27501,
		},
		SendingIPs: []SendingIP{
			{Address: netip.MustParseAddr("203.0.113.10"), EHLO: "out10.example.jp"},
			{Address: netip.MustParseAddr("2001:db8::10"), EHLO: "out10.example.jp"},
			{Address: netip.MustParseAddr("203.0.113.11"), EHLO: "out11.example.jp"},
		},
		Pools: map[string]Pool{
			"default": {
				IPs:     []netip.Addr{netip.MustParseAddr("203.0.113.10"), netip.MustParseAddr("2001:db8::10")},
				Weights: map[netip.Addr]int{netip.MustParseAddr("203.0.113.10"): 3},
				Sticky:  StickyTenant,
			},
			"quarantine": {IPs: []netip.Addr{netip.MustParseAddr("203.0.113.11")}, Sticky: StickySenderDomain, HighRisk: true},
		},
		Tenants: []Tenant{
			{Name: "acme", Sources: []netip.Prefix{netip.MustParsePrefix("10.20.1.0/24")}, SenderDomains: Names{"acme.example", "*.acme.example"}, Pool: "quarantine", OnUnreachable: session.UnreachableSilence, AccountHeaderConflict: mailbox.ConflictDefer, TenantContent: unscanned},
			{Name: "vlan", ListenPort: 10031, Interfaces: []string{"vlan31", "ppp*"}, Pool: "default", OnUnreachable: session.UnreachableReply, AccountHeaderConflict: mailbox.ConflictDefer, TenantContent: unscanned},
			{
				Name: "blue", Sources: []netip.Prefix{netip.MustParsePrefix("10.20.2.0/24")}, Pool: "default", AccountHeader: "X-Authenticated-Sender", StripAccountHeader: true, OnUnreachable: session.UnreachableReply,
				AccountHeaderConflict: mailbox.ConflictLast, AccountHeaderRequired: true, AccountDomains: Names{"bücher.example", "*.blue.example"},
				AccountPatterns: Names{`(news)-[0-9]+(@lists\.blue\.example)`},
				Kind:            contain.Forwarder, Lists: Names{"news@blue.example", "@lists.blue.example"}, Forwarders: Names{"@alumni.blue.example", "<srs>@blue.example"},
				TenantContent: TenantContent{
					Scan: content.Sample, Scanners: Names{"rspamd"}, Lacks: Lacks{content.AcceptAll, content.DeferAll, content.AcceptAll}, LackSaid: [3]bool{true, true, true},
					OnVirus: Defer, OnReject: Divert, OnSoftReject: Accept, OnSpam: Accept, Prepend: Names{"Feedback-ID: blue:kanmon"},
				},
			},
		},
		Routes: []Route{
			{
				Tenants: Names{"acme", "blue"}, Senders: Names{"news@acme.example"}, SenderDomains: Names{"*.acme.example"}, RecipientDomains: Names{"example.com"},
				Providers: Names{"google", "docomo"}, Destinations: Networks{netip.MustParsePrefix("192.0.2.0/24")}, SuspicionMin: 0.8, Pool: "quarantine",
				Rescue: route.RescueOff, Soften: true, PerHour: 2,
			},
			{NullSender: true, Rescue: route.RescueObserve, Suspend: true, PerHour: 5},
		},
		Destinations: []Destination{
			{Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.0.2.7/32")}, TLS: session.TLSRequire},
			{Networks: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}, TLS: session.TLSOpportunistic, Passthrough: true},
			{Networks: []netip.Prefix{netip.MustParsePrefix("203.0.113.5/32")}, TLS: session.TLSVerify, Names: Names{"relay.example.net"}},
		},
		TLS: TLS{MSACertificate: "/etc/kanmon/msa.pem", MSAKey: "/etc/kanmon/msa.key"},
		Limits: Limits{
			Sessions: 20_000, SessionsPerSource: 500, SessionsReserve: 3_000, Recipients: 200, BadCommands: 5, IdleCommands: 50,
			Transactions: 1_000, BodyBytes: 50_000_000, Memory: 2 << 30,
		},
		Timeouts: Timeouts{
			Dial: 10 * time.Second, Banner: 6 * time.Minute, EHLO: 4 * time.Minute, StartTLS: 3 * time.Minute,
			Handshake: 30 * time.Second, EHLOTLS: 2 * time.Minute, Idle: 7 * time.Minute, Mail: 8 * time.Minute,
			Rcpt: 9 * time.Minute, Data: 3 * time.Minute, Body: 4 * time.Minute, Dot: 20 * time.Minute,
			Reset: time.Minute, Quit: 10 * time.Second,
		},
		Journal: Journal{
			Gateway: "gw1", Records: "/var/log/kanmon/records.jsonl", SessionLog: "-", Identify: true, Addresses: journal.AddressesHashed, HashKeyFile: "/etc/kanmon/hash.key",
		},
		Log:   Log{Level: "warn", Format: FormatJSON},
		Drain: Drain{Timeout: 20 * time.Minute, Notice: 10 * time.Second, Soft: 6 * time.Minute, Idle: 45 * time.Second},

		Classification: Classification{Rules: "/etc/kanmon/rules.toml"},
		Standing: Standing{
			File: "/var/lib/kanmon/standing.db", Within: 2 * time.Hour, ListedReplies: 2, ListedDestinations: 3, ListedFor: time.Hour,
			RefusedTenants: 4, RefusedDestinations: 5, RefusedFor: 10 * time.Minute, Longest: 48 * time.Hour,
		},
		Rescue: Rescue{
			Mode: route.RescueObserve, Soften: false, Attempts: 3, Time: 90 * time.Second, BodyBytes: 1 << 20, BodiesBytes: 1 << 28,
			PerHour: 5, NetblockV4: 29, NetblockV6: 64,
		},
		Senders: Senders{File: "/var/lib/kanmon/senders.db", UnknownTenant: "blue", Spoofing: SpoofingRefuse, Internal: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
		SenderLimits: []SenderLimit{
			{
				Name: "account-hour", Per: limit.PerAccount, Count: limit.Messages, Limit: 500, Every: time.Hour, Burst: 100, Tenants: Names{"acme"},
				Accounts: Names{"news@acme.example", "@shop.example"}, Providers: Names{"docomo"}, Action: limit.Divert, Pool: "quarantine",
				Exempt: []Exemption{ExemptNullSender, ExemptInternal},
			},
			{Name: "ip", Per: limit.PerIPProvider, Count: limit.Octets, Limit: 1 << 30, Every: time.Minute, Action: limit.Defer, Enforce: true, Fair: true},
		},
		Containment: Containment{Enforce: true, Most: contain.Divert, SlowRate: 120, Pool: "default", AccountVolume: 1000, TenantVolume: 9000},
		Content:     Content{Enforce: true, HoldMemory: 1 << 30, HoldMessage: 4 << 20, VerdictWithin: 20 * time.Second, DotWithin: 3 * time.Minute, Sample: 25},
		Scanners: []Scanner{
			{
				Name: "rspamd", Type: Rspamd, URL: "http://127.0.0.1:11333", SettingsID: "outbound", AtOnce: 32, Largest: 10 << 20,
				Lacks: Lacks{content.DeferAll, content.AcceptAll, content.DeferAll},
			},
			{Name: "clamd", Type: Clamd, URL: "unix:/run/clamav/clamd.ctl", AtOnce: atOnceClamd, Largest: largestDefault},
		},
		Admin: Admin{Socket: "/run/kanmon/admin.sock"},
		TLSPolicy: TLSPolicy{
			On: true, Mode: TLSEnforce, MTASTS: true, DANE: true, Resolver: netip.MustParseAddrPort("127.0.0.1:53"), TrustAD: true,
			Store: "/srv/kanmon/tls.db", Roots: "/etc/kanmon/roots.pem", FirstContact: 3 * time.Second, Wait: 10 * time.Second, DNSFailure: DNSPass,
			ExemptDomains: Names{"partner.example", "*.lab.example"}, ExemptSources: []netip.Prefix{netip.MustParsePrefix("192.0.2.25/32")},
			ExemptSenders: Names{"TLS-Reports@example.jp"},
		},
		TLSReport: TLSReport{Socket: "/run/tlsrpt/collectd.sock"},
		Watch:     Watch{Lists: Names{"zen.spamhaus.org", "bl.spamcop.net"}, Names: true, Every: 2 * time.Hour, Resolver: netip.MustParseAddrPort("127.0.0.1:53"), Suspend: true},
		Metrics:   Metrics{On: true, Listen: netip.MustParseAddrPort("[2001:db8::1]:9726")},
		Web: Web{
			Listen: "unix:/run/kanmon-view/web.sock", Users: "/etc/kanmon/people", Directory: "/srv/kanmon-view", May: WebSearch, User: "kanmon-web",
			UserHeader: "X-Remote-User", GroupsHeader: "X-Remote-Groups", Roles: map[string]WebRole{"ops": WebAct, "helpdesk": WebSearch}, ProxyUser: "www-data",
			Idle: 15 * time.Minute, Longest: 8 * time.Hour,
		},
		History: History{
			On: true, Directory: "/srv/history", Records: Names{"/var/log/kanmon/records.jsonl", "/srv/gw2/records.jsonl"}, Gateways: Names{"gw1", "gw2"},
			Detail: 30 * day, Trouble: 60 * day, Counts: 730 * day, Size: 50e9, Metrics: netip.MustParseAddrPort("127.0.0.1:9727"),
			Database: "postgres://kanmon@db.example.jp/kanmon?sslmode=verify-full", DatabasePasswordFile: "/etc/kanmon/history.password",
		},
		Notify: Notify{Language: Japanese, Zone: "Asia/Tokyo", Digest: "07:30", PageURL: "https://kanmon.example.jp"},
		NotifyWebhooks: []NotifyWebhook{{
			Name: "panel", URL: "https://panel.example.jp/hooks/kanmon", Format: FormatSlack, SecretFile: "/etc/kanmon/webhook.secret",
			Events: Names{"account.*", "ip.listed"},
		}},
		NotifyMails: []NotifyMail{
			{
				Name: "oncall", To: Names{"oncall@example.jp"}, From: "kanmon@example.jp", Smarthost: "smtp.example.jp:465", TLS: MailTLSStart,
				User: "kanmon", PasswordFile: "/etc/kanmon/smarthost.password", Events: Names{"digest"},
			},
			{Name: "local", To: Names{"root@example.jp"}, From: "kanmon@example.jp", TLS: MailTLSByPort, Sendmail: "/usr/sbin/sendmail"},
		},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Config{}), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Errorf("Load (-want +got):\n%s", diff)
	}
}

func TestDefaults(t *testing.T) {
	got, err := Parse("kanmon.toml", nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := defaultListen(intercept.Redirect); !reflect.DeepEqual(got.Intercept.Listen, want) {
		t.Errorf("listen = %v, want %v", got.Intercept.Listen, want)
	}
	if got.Intercept.User != "kanmon" || got.Intercept.Mark != 0 {
		t.Errorf("user %q mark %d, want the user alone", got.Intercept.User, got.Intercept.Mark)
	}
	marked, err := Parse("kanmon.toml", []byte("[intercept]\nmode = 'tproxy'\nmark = 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	if marked.Intercept.User != "" || marked.Intercept.Mark != 1 {
		t.Errorf("user %q mark %d, want the mark alone", marked.Intercept.User, marked.Intercept.Mark)
	}
	if want := defaultListen(intercept.TProxy); !reflect.DeepEqual(marked.Intercept.Listen, want) {
		t.Errorf("listen with tproxy = %v, want %v", marked.Intercept.Listen, want)
	}
}

// Lowering limits.sessions alone must not make the defaults of the others an error.
func TestOtherLimitsFollowSessions(t *testing.T) {
	got, err := Parse("kanmon.toml", []byte("[limits]\nsessions = 50\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got.Limits.SessionsPerSource != 50 {
		t.Errorf("sessions_per_source = %d, want 50", got.Limits.SessionsPerSource)
	}
	if got.Limits.SessionsReserve != 5 {
		t.Errorf("sessions_reserve = %d, want a tenth", got.Limits.SessionsReserve)
	}
}

func TestLoadMissingFile(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.toml"))
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Load = %v, want os.ErrNotExist", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/bad/*.toml", "testdata/good/*.toml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			doc, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(doc)
		}
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		cfg, err := Parse("kanmon.toml", doc)
		if (cfg == nil) == (err == nil) {
			t.Fatalf("Parse = %v, %v", cfg, err)
		}
		var errs Errors
		if err != nil && !errors.As(err, &errs) {
			t.Fatalf("error %T, want Errors", err)
		}
		for _, e := range errs {
			if e.Line < 1 || e.Line > strings.Count(string(doc), "\n")+1 || e.Column < 1 || e.Problem == "" {
				t.Errorf("error without a place: %+v", e)
			}
		}
	})
}

// unscanned is what holds for a tenant of which the file says nothing of scanners.
var unscanned = TenantContent{OnVirus: Refuse, OnReject: Refuse, OnSoftReject: Defer, OnSpam: Divert}
