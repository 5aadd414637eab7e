// Package config reads kanmon's configuration: one TOML file (TOML 1.0), read strictly. An unknown key, a wrong type
// and a value that cannot be meant are errors that show the file, the line, the text and what would be right; all
// errors of a file are reported at once.
//
// Normal use:
//
//  1. [Load] a file (or [Parse] a document). What it returns is complete: every default is filled in.
//  2. Package check compares what the file asks for with this host.
//  3. Hand the [Config] to the daemon. It is never changed after Load; a reload loads a new one.
package config

import (
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/event/journal"
	"kanmon/internal/intercept"
	"kanmon/internal/outlet/route"
	"kanmon/internal/outlet/slow"
	"kanmon/internal/policy/contain"
	"kanmon/internal/session"
	"kanmon/internal/who/mailbox"
)

// DefaultPath is where kanmon looks for its configuration.
const DefaultPath = "/etc/kanmon/kanmon.toml"

// A Config is a whole configuration file. docs/ref/configuration.md describes every key; a test compares the two.
type Config struct {
	Hostname      string              `toml:"hostname"`
	ProvidersFile string              `toml:"providers_file"`
	OnUnreachable session.Unreachable `toml:"on_unreachable"`
	Intercept     Intercept           `toml:"intercept"`
	SendingIPs    []SendingIP         `toml:"sending_ip"`
	Pools         map[string]Pool     `toml:"pool"` // none: one pool of all sending IPs
	Tenants       []Tenant            `toml:"tenant"`
	Routes        []Route             `toml:"route"`
	Destinations  []Destination       `toml:"destination"`
	TLS           TLS                 `toml:"tls"`
	TLSPolicy     TLSPolicy           `toml:"tls_policy"`
	TLSReport     TLSReport           `toml:"tls_report"`
	Limits        Limits              `toml:"limits"`
	Timeouts      Timeouts            `toml:"timeouts"`
	Journal       Journal             `toml:"journal"`
	Log           Log                 `toml:"log"`
	Drain         Drain               `toml:"drain"`

	Classification Classification `toml:"classification"`
	Standing       Standing       `toml:"standing"`
	Timing         Timing         `toml:"timing"`
	Watch          Watch          `toml:"watch"`
	Rescue         Rescue         `toml:"rescue"`
	Shaping        Shaping        `toml:"shaping"`
	ShapingLimits  []ShapingLimit `toml:"shaping_limit"`
	Senders        Senders        `toml:"senders"`
	SenderLimits   []SenderLimit  `toml:"sender_limit"`
	Containment    Containment    `toml:"containment"`
	Suspicion      Suspicion      `toml:"suspicion"`
	Content        Content        `toml:"content"`
	Scanners       []Scanner      `toml:"scanner"`
	Admin          Admin          `toml:"admin"`
	Metrics        Metrics        `toml:"metrics"`
	Web            Web            `toml:"web"`
	History        History        `toml:"history"`

	Notify         Notify          `toml:"notify"`
	NotifyWebhooks []NotifyWebhook `toml:"notify_webhook"`
	NotifyMails    []NotifyMail    `toml:"notify_mail"`

	file         string                 // as given to Load or Parse
	lines        map[string]int         // where each key of the file stands, for findings
	providers    []Provider             // the defaults and those of ProvidersFile
	ownProviders int                    // the last of them, that are of ProvidersFile
	plans        map[string]*WarmUpPlan // that sending IPs name
}

// Intercept says whose port 25 goes through kanmon, and how.
type Intercept struct {
	Mode        intercept.Mode   `toml:"mode"`
	Listen      []netip.AddrPort `toml:"listen"`
	Sources     []netip.Prefix   `toml:"sources"`    // empty: every source, if Interfaces names any
	Interfaces  []string         `toml:"interfaces"` // empty: every interface, if Sources names any
	Local       bool             `toml:"local"`      // this host's own mail too
	ManageRules bool             `toml:"manage_rules"`
	RulesOnStop RulesOnStop      `toml:"rules_on_stop"`
	User        string           `toml:"user"` // whose traffic the rules leave alone; "" if Mark is set
	Mark        uint32           `toml:"mark"` // SO_MARK of kanmon's own connections; 0: User excludes them
	TProxyMark  uint32           `toml:"tproxy_mark"`
	TProxyTable uint32           `toml:"tproxy_table"`
}

// SendingIP is a local address that mail may leave from.
type SendingIP struct {
	Address netip.Addr `toml:"address"`
	EHLO    string     `toml:"ehlo"` // must match the address's PTR

	Required bool `toml:"required"` // without it kanmon does not start
	Floating bool `toml:"floating"` // it comes and goes: its absence is no alarm

	Path string `toml:"path"` // by which it leaves, with others: a tunnel; "": one of its own

	Ports string `toml:"ports"` // source ports that it may use, as "20000-29999"; "": all there are

	WarmUp WarmUp `toml:"warm_up"` // it is new
}

// Pool is a named set of sending IPs.
type Pool struct {
	IPs      []netip.Addr       `toml:"ips"`
	Weights  map[netip.Addr]int `toml:"weights"` // those that are not 1
	Sticky   Sticky             `toml:"sticky"`
	HighRisk bool               `toml:"high_risk"`
}

// Tenant says whose mail comes from where. Domains are in any form that package mailbox reads, "*.acme.example" stands for all
// below acme.example.
type Tenant struct {
	Name          string         `toml:"name"`
	Sources       []netip.Prefix `toml:"sources"`
	ListenPort    int            `toml:"listen_port"`    // of a listener of its own; 0: none
	Interfaces    []string       `toml:"interfaces"`     // what comes in by them goes to ListenPort
	SenderDomains Names          `toml:"sender_domains"` // none: every sender of the sources
	Pool          string         `toml:"pool"`

	AccountHeader      string `toml:"account_header"` // of the message, written by the MSA: the account; "": it is the envelope sender
	StripAccountHeader bool   `toml:"strip_account_header"`

	AccountHeaderConflict mailbox.Conflict    `toml:"account_header_conflict"`
	AccountHeaderRequired bool                `toml:"account_header_required"`
	AccountDomains        Names               `toml:"account_domains"` // of accounts in the header; none: any
	AccountPatterns       Names               `toml:"account_pattern"`
	OnUnreachable         session.Unreachable `toml:"on_unreachable"` // as that of the Config, where the file does not say it

	Kind       contain.Kind `toml:"kind"`       // of the tenant; contain.Plain: neither
	Lists      Names        `toml:"lists"`      // accounts, or "@lists.acme.example" for all of a domain
	Forwarders Names        `toml:"forwarders"` // likewise

	TenantContent
}

// Route gives mail to a pool, and says what is done about refusals of it, if all its conditions hold; of the values of one
// condition, one must. The first route that matches wins, else the tenant's pool, else the pool "default".
type Route struct {
	Tenants          Names    `toml:"tenant"`
	Senders          Names    `toml:"sender"`
	SenderDomains    Names    `toml:"sender_domain"`
	NullSender       bool     `toml:"null_sender"`
	RecipientDomains Names    `toml:"recipient_domain"`
	Providers        Names    `toml:"provider"`
	Destinations     Networks `toml:"destination"`
	SuspicionMin     float64  `toml:"suspicion_min"` // 0: no condition

	Pool    string           `toml:"pool"` // "": the pool that the mail has without the route
	Rescue  route.RescueMode `toml:"rescue"`
	Soften  bool             `toml:"soften"`
	Suspend bool             `toml:"suspend"`
	PerHour int              `toml:"rescue_per_hour"`
}

// Handling returns what holds for the mail of a route, counted from 1; 0: for mail without one.
func (c *Config) Handling(number int) route.Handling {
	if number == 0 {
		return route.Handling{Rescue: c.Rescue.Mode, Soften: c.Rescue.Soften, Suspend: c.Standing.Suspend, PerHour: c.Rescue.PerHour}
	}
	r := &c.Routes[number-1]
	return route.Handling{Rescue: r.Rescue, Soften: r.Soften, Suspend: r.Suspend, PerHour: r.PerHour}
}

// Destination is a rule for MX addresses. The most specific network wins.
type Destination struct {
	Networks    []netip.Prefix  `toml:"networks"`
	TLS         session.TLSRule `toml:"tls"`
	Names       Names           `toml:"names"` // with TLSVerify: those that the MX may prove
	Passthrough bool            `toml:"passthrough"`
}

// TLS is the certificate offered to MSAs; both files or none.
type TLS struct {
	MSACertificate string `toml:"msa_certificate"`
	MSAKey         string `toml:"msa_key"`
}

// Limits bounds what sessions may take. Zero means no limit where the documentation allows it.
type Limits struct {
	Sessions          int  `toml:"sessions"`
	SessionsPerSource int  `toml:"sessions_per_source"`
	SessionsReserve   int  `toml:"sessions_reserve"` // 0: none
	Recipients        int  `toml:"recipients"`
	BadCommands       int  `toml:"bad_commands"`
	IdleCommands      int  `toml:"idle_commands"`
	Transactions      int  `toml:"transactions"` // 0: no limit
	BodyBytes         Size `toml:"body_bytes"`   // 0: no limit but the MX's own
	Memory            Size `toml:"memory"`       // soft limit of the Go heap; 0: none but GOMEMLIMIT
}

// Timeouts bounds each wait in a phase of a session. The keys are the names of the phases, in their order.
type Timeouts struct {
	Dial      time.Duration `toml:"dial"`
	Banner    time.Duration `toml:"banner"`
	EHLO      time.Duration `toml:"ehlo"`
	StartTLS  time.Duration `toml:"starttls"`
	Handshake time.Duration `toml:"handshake"`
	EHLOTLS   time.Duration `toml:"ehlo_tls"`
	Idle      time.Duration `toml:"idle"`
	Mail      time.Duration `toml:"mail"`
	Rcpt      time.Duration `toml:"rcpt"`
	Data      time.Duration `toml:"data"`
	Body      time.Duration `toml:"body"`
	Dot       time.Duration `toml:"dot"`
	Reset     time.Duration `toml:"reset"`
	Quit      time.Duration `toml:"quit"`
}

// Of returns that of a phase.
func (t *Timeouts) Of(phase event.Phase) *time.Duration {
	return reflect.ValueOf(t).Elem().Field(int(phase)).Addr().Interface().(*time.Duration)
}

// Journal says where the record of sessions goes and what of an address it shows.
type Journal struct {
	Gateway     string              `toml:"gateway"`     // name of this gateway in the JSON lines; "": the host's
	Records     string              `toml:"records"`     // path of the JSON lines; "-": standard output; "": not written
	SessionLog  string              `toml:"session_log"` // path of the dialogue; as Records
	Identify    bool                `toml:"identify"`    // messages in the JSON lines, as others name them
	Addresses   journal.AddressMode `toml:"addresses"`
	HashKeyFile string              `toml:"hash_key_file"`
}

// Log is kanmon's own log, on standard error.
type Log struct {
	Level  Level     `toml:"level"`
	Format LogFormat `toml:"format"`
}

// Drain says how long a stopping kanmon lets sessions finish.
type Drain struct {
	Timeout time.Duration `toml:"timeout"`
	// Of "kanmon handover", in front of a drain: how long new sessions are taken still, and how long those that there are may go on and may idle.
	Notice time.Duration `toml:"notice"`
	Soft   time.Duration `toml:"soft"`
	Idle   time.Duration `toml:"idle"`
}

// Classification says what replies of MXs mean.
type Classification struct {
	Rules string `toml:"rules"` // path of the operator's own rules, in front of the built-in ones; "": none
}

// Standing is what kanmon thinks of its sending IPs, from the replies they get.
type Standing struct {
	File                string        `toml:"file"`    // path of the SQLite file; "": forgotten at the end of the process
	Suspend             bool          `toml:"suspend"` // mail gives way to what evidence has suspended or slowed
	Within              time.Duration `toml:"within"`
	ListedReplies       int           `toml:"listed_replies"`
	ListedDestinations  int           `toml:"listed_destinations"`
	ListedFor           time.Duration `toml:"listed_for"`
	RefusedTenants      int           `toml:"refused_tenants"`
	RefusedDestinations int           `toml:"refused_destinations"`
	RefusedFor          time.Duration `toml:"refused_for"`
	Longest             time.Duration `toml:"longest"`
}

// Timing is what follows of how soon MXs answer.
type Timing struct {
	Act slow.Act `toml:"act"`
}

// Rescue says what is done about refusals that a sending IP of ours has caused.
type Rescue struct {
	Mode        route.RescueMode `toml:"mode"`
	Soften      bool             `toml:"soften"`
	Attempts    int              `toml:"attempts"`
	Time        time.Duration    `toml:"time"`
	BodyBytes   Size             `toml:"body_bytes"`   // 0: no message is kept
	BodiesBytes Size             `toml:"bodies_bytes"` // of all messages together
	PerHour     int              `toml:"per_hour"`     // of one tenant at one provider; 0: none
	NetblockV4  int              `toml:"netblock_v4"`  // length of the prefix
	NetblockV6  int              `toml:"netblock_v6"`
}

// Admin is the socket that the operator's commands speak to.
type Admin struct {
	Socket string `toml:"socket"` // path; "": none
}

// Metrics says whether what happens is counted, for Prometheus, and where it may be asked for.
type Metrics struct {
	On      bool           `toml:"on"`
	Listen  netip.AddrPort `toml:"listen"`
	Tenants bool           `toml:"tenants"` // what is counted by tenant, too
}

// Load reads and parses a file. The error is Errors if the file could be read and is wrong.
func Load(path string) (*Config, error) { return LoadIn(path, GivenDirectories()) }

// LoadIn is Load for a process that is given other directories than this one.
func LoadIn(path string, dirs Directories) (*Config, error) {
	doc, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return parse(path, doc, dirs)
}

// Parse reads a document; name stands for the file in errors, which are Errors.
func Parse(name string, doc []byte) (*Config, error) { return parse(name, doc, GivenDirectories()) }

func parse(name string, doc []byte, dirs Directories) (*Config, error) {
	root, syntax := parseTree(name, doc)
	if syntax != nil {
		return nil, Errors{syntax}
	}
	cfg := defaults()
	d := &decoder{file: name, doc: doc, places: map[string]span{}, dirs: dirs}
	d.decodeInto(root, cfg)
	d.complete(cfg)
	others := append(d.loadProviders(cfg), d.loadPlans(cfg)...)
	d.validate(cfg)
	if len(d.errs)+len(others) > 0 {
		return nil, append(d.errs.sorted(), others...)
	}
	cfg.file, cfg.lines = name, d.lines()
	return cfg, nil
}

// File returns the path as it was given to Load or Parse.
func (c *Config) File() string { return c.file }

// Where names a key with the line of the file that sets it; a default has no line.
func (c *Config) Where(key string) string {
	if line, set := c.lines[key]; set {
		return fmt.Sprintf("%s:%d: %s", c.file, line, key)
	}
	return key
}

// Line returns the line of the file that a key stands in, such as "route[2]"; 0 for a default.
func (c *Config) Line(key string) int { return c.lines[key] }
