package config

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/policy/content"
)

// Content is what holds for all mail whose content is judged.
type Content struct {
	Enforce       bool          `toml:"enforce"`
	HoldMemory    Size          `toml:"hold_memory"`    // of all messages that are kept
	HoldMessage   Size          `toml:"hold_message"`   // of one that is held
	VerdictWithin time.Duration `toml:"verdict_within"` // from the message's end
	DotWithin     time.Duration `toml:"dot_within"`     // from the MSA's dot to that toward the MX
	Sample        int           `toml:"sample"`         // percent
}

// Scanner is a program that judges content.
type Scanner struct {
	Name       string      `toml:"name"`
	Type       ScannerType `toml:"type"`
	URL        string      `toml:"url"`
	SettingsID string      `toml:"settings_id"` // of Rspamd
	AtOnce     int         `toml:"at_once"`     // messages
	Largest    Size        `toml:"largest"`     // message
	Lacks                  // what follows where it says nothing
}

// Lacks are what becomes of a message of which a scanner says nothing.
type Lacks struct {
	Unavailable content.Lack `toml:"unavailable"`
	TooLarge    content.Lack `toml:"too_large"`
	Busy        content.Lack `toml:"busy"`
}

// TenantContent is how the content of a tenant's mail is judged.
type TenantContent struct {
	Scan     content.Mode `toml:"scan"`
	Scanners Names        `toml:"scanners"` // names; none: all
	Lacks                 // instead of the scanners' own, where the file says so: see LackSaid

	OnVirus      Handling `toml:"on_virus"`
	OnReject     Handling `toml:"on_reject"`
	OnSoftReject Handling `toml:"on_soft_reject"`
	OnSpam       Handling `toml:"on_spam"`
	Prepend      Names    `toml:"prepend"` // header fields

	LackSaid [3]bool // that the file says Unavailable, TooLarge, Busy
}

// ScannerType is how a scanner is spoken to.
type ScannerType string

// The types.
const (
	Rspamd ScannerType = "rspamd"
	Clamd  ScannerType = "clamd"
	Milter ScannerType = "milter"
)

// Words returns the types.
func (ScannerType) Words() []string { return words(Rspamd, Clamd, Milter) }

// Handling says what follows from a scanner's verdict.
type Handling string

// The handlings.
const (
	Accept Handling = "accept"
	Divert Handling = "divert"
	Defer  Handling = "defer"
	Refuse Handling = "refuse"
)

// Words returns the handlings.
func (Handling) Words() []string { return words(Accept, Divert, Defer, Refuse) }

// Event returns it as the records have it.
func (h Handling) Event() (of event.Handling) {
	_ = of.UnmarshalText([]byte(h)) // it is one of the words
	return of
}

// Scans reports whether any tenant's content is judged.
func (c *Config) Scans() bool {
	return slices.ContainsFunc(c.Tenants, func(t Tenant) bool { return t.Scan != content.Off })
}

// Diverts reports whether what a scanner says of the tenant's mail may have it leave from another pool.
func (t *TenantContent) Diverts() bool {
	return t.Scan != content.Off && slices.Contains([]Handling{t.OnVirus, t.OnReject, t.OnSoftReject, t.OnSpam}, Divert)
}

// Places for messages at once, of scanners of which the file says nothing: Rspamd has many workers, clamd ten threads by default.
const (
	atOnceRspamd = 64
	atOnceClamd  = 8
	atOnceMilter = 16
)

// Sizes of messages.
const (
	largestDefault = 20 << 20 // below clamd's StreamMaxLength of Debian, 25 MB, and Rspamd's max_message, 50 MiB
	leastLargest   = 64 << 10
	tenantsPart    = 4 // of hold_memory a tenant has so small a part: package inspect's Budget
)

func defaultContent() Content {
	return Content{HoldMemory: 256 << 20, HoldMessage: 1 << 20, VerdictWithin: 16 * time.Second, DotWithin: 2 * time.Minute, Sample: 10}
}

// completeContent fills in the defaults that depend on other keys.
func (d *decoder) completeContent(cfg *Config) {
	for i := range cfg.Scanners {
		s, key := &cfg.Scanners[i], fmt.Sprintf("scanner[%d]", i)
		if !d.has(key + ".at_once") {
			s.AtOnce = map[ScannerType]int{Clamd: atOnceClamd, Milter: atOnceMilter}[s.Type]
			if s.AtOnce == 0 {
				s.AtOnce = atOnceRspamd
			}
		}
		if !d.has(key + ".largest") {
			s.Largest = min(largestDefault, max(leastLargest, cfg.Content.HoldMemory/tenantsPart))
		}
	}
	for i := range cfg.Tenants {
		t, key := &cfg.Tenants[i], fmt.Sprintf("tenant[%d].", i)
		t.LackSaid = [3]bool{d.has(key + "unavailable"), d.has(key + "too_large"), d.has(key + "busy")}
		for name, of := range map[string]struct {
			to *Handling
			by Handling
		}{"on_virus": {&t.OnVirus, Refuse}, "on_reject": {&t.OnReject, Refuse}, "on_soft_reject": {&t.OnSoftReject, Defer}, "on_spam": {&t.OnSpam, Divert}} {
			if !d.has(key + name) {
				*of.to = of.by
			}
		}
	}
}

func (d *decoder) validateContent(cfg *Config) {
	c := &cfg.Content
	d.judge(
		within("content.hold_memory", c.HoldMemory, 8<<20, 1<<40, "%d octets is no room for messages", `want at least "8MiB", at most "1024GiB"`),
		within("content.hold_message", c.HoldMessage, 64<<10, 64<<20, "%d octets is no size of a message to hold", `want "64KiB" to "64MiB"`),
		lasting("content.verdict_within", c.VerdictWithin, time.Second, time.Minute),
		lasting("content.dot_within", c.DotWithin, 20*time.Second, 4*time.Minute),
		within("content.sample", c.Sample, 1, 100, "%d is no part of the mail in percent", `want 1 to 100; a tenant's scan = "off" scans nothing`),
		rule{
			"content.enforce", nil, !c.Enforce || cfg.Scans() || !d.good("tenant"), "no tenant's mail is scanned",
			`add scan = "sample" to a [[tenant]], or remove enforce`,
		},
	)
	if d.good("content") && c.HoldMessage*tenantsPart > c.HoldMemory {
		d.wrong("content.hold_message", fmt.Sprintf("%d octets for one message is more than a tenant's part of hold_memory, a quarter of %d", c.HoldMessage, c.HoldMemory), "want less, or more hold_memory")
	}
	if d.good("content") && c.DotWithin < c.VerdictWithin+10*time.Second {
		d.wrong("content.dot_within", fmt.Sprintf("%s leaves the MX no time behind verdict_within, %s", Short(c.DotWithin), Short(c.VerdictWithin)), "want at least 10 s more than that")
	}
	var known []string
	names := map[string]string{}
	for i := range cfg.Scanners {
		if key := fmt.Sprintf("scanner[%d]", i); !d.failedItself(key) {
			d.validateScanner(key, &cfg.Scanners[i], names)
			d.validateRoom(key, &cfg.Scanners[i], c)
		}
		known = append(known, cfg.Scanners[i].Name)
	}
	d.judge(rule{fmt.Sprintf("scanner[%d]", event.MaxScans), nil, len(cfg.Scanners) <= event.MaxScans, "more scanners than a record has room for", fmt.Sprintf("want at most %d", event.MaxScans)})
	for i := range cfg.Tenants {
		if key := fmt.Sprintf("tenant[%d]", i); !d.failedItself(key) {
			d.validateTenantContent(cfg, key, &cfg.Tenants[i], known)
		}
	}
}

func (d *decoder) validateScanner(key string, s *Scanner, names map[string]string) {
	d.validateName(key+".name", s.Name, "scanner", "rspamd", names)
	d.must(key+".type", `type = "rspamd", "clamd" or "milter"`)
	d.must(key+".url", "url = "+urlExample(s.Type))
	if d.has(key+".type") && d.good(key+".type") {
		d.judge(sound(key+".url", s.URL, checkScannerURL(s), "is not the address of a "+string(s.Type), "want one such as "+urlExample(s.Type)))
		d.judge(rule{key + ".settings_id", nil, s.Type == Rspamd, "only Rspamd has settings", "remove it"})
	}
	d.judge(
		rule{key + ".settings_id", s.SettingsID, isToken(s.SettingsID), "%q is not the name of settings", `want a name such as "outbound", as in Rspamd's settings.conf`},
		within(key+".at_once", s.AtOnce, 1, 1024, "%d is no number of messages at once", "want 1 to 1024"),
		within(key+".largest", s.Largest, leastLargest, 1<<30, "%d octets is no largest message", `want "64KiB" to "1GiB", and no more than the scanner itself takes`),
	)
}

// validateRoom refuses a scanner that takes messages for which there never is room: such a message of a doubtful sender would be put off at
// each of its tries, for ever.
func (d *decoder) validateRoom(key string, s *Scanner, c *Content) {
	if part := c.HoldMemory / tenantsPart; d.good(key+".largest") && d.good("content") && s.Largest > part {
		d.wrong(key+".largest", fmt.Sprintf("%d octets for one message is more than a tenant's part of content.hold_memory, a quarter of %d", s.Largest, c.HoldMemory),
			fmt.Sprintf("want %d at most, or hold_memory of at least %d", part, s.Largest*tenantsPart))
	}
}

func urlExample(of ScannerType) string {
	switch of {
	case Clamd:
		return `"unix:/run/clamav/clamd.ctl" or "tcp://127.0.0.1:3310"`
	case Milter:
		return `"unix:/run/milter.sock" or "tcp://127.0.0.1:8891"`
	default:
		return `"http://127.0.0.1:11333", "https://rspamd.example.jp" or "unix:/run/rspamd/worker.sock"`
	}
}

// checkScannerURL says why a scanner cannot be spoken to at its address, or nil.
func checkScannerURL(s *Scanner) error {
	u, err := url.Parse(s.URL)
	switch {
	case err != nil:
		return fmt.Errorf("it cannot be read")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("it has more than a scheme, a host and a port")
	case u.Scheme == "unix":
		path := u.Path
		if path == "" {
			path = u.Opaque
		}
		if u.Host != "" || !filepath.IsAbs(path) {
			return fmt.Errorf("its path does not begin with /")
		}
		return nil
	case s.Type == Rspamd && (u.Scheme == "http" || u.Scheme == "https"):
		if u.Hostname() == "" || u.Path != "" && u.Path != "/" {
			return fmt.Errorf("want a host, and no path")
		}
		return nil
	case s.Type != Rspamd && u.Scheme == "tcp":
		host, port, err := net.SplitHostPort(u.Host)
		if err != nil || host == "" || port == "" || u.Path != "" {
			return fmt.Errorf("want a host and a port, and no path")
		}
		return nil
	}
	return fmt.Errorf("%q is not how it is spoken to", u.Scheme+":")
}

func isToken(s string) bool {
	return s != "" && len(s) <= 64 && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
	}) < 0
}

func (d *decoder) validateTenantContent(cfg *Config, key string, t *Tenant, scanners []string) {
	scans := t.Scan != content.Off
	if scan := key + ".scan"; scans && d.good(scan) && len(cfg.Scanners) == 0 && d.good("scanner") {
		d.wrong(scan, "there is no scanner", `add [[scanner]] with name = "rspamd", type = "rspamd" and url = "http://127.0.0.1:11333"`)
	}
	for _, name := range []string{"scanners", "unavailable", "too_large", "busy", "on_virus", "on_reject", "on_soft_reject", "on_spam"} {
		d.judge(rule{key + "." + name, nil, scans || !d.good(key+".scan") || d.has(key+".scan"), "the tenant's mail is not scanned", `add scan = "sample" or "all", or remove this line`})
	}
	d.known(key+".scanners", "scanner", t.Scanners, scanners, "add a [[scanner]] of this name")
	for name, of := range map[string]Handling{"on_virus": t.OnVirus, "on_reject": t.OnReject, "on_soft_reject": t.OnSoftReject, "on_spam": t.OnSpam} {
		d.judge(rule{
			key + "." + name, nil, of != Divert || cfg.Containment.Pool != "" || !d.good("pool") || !d.good("containment"), "there is no pool for doubtful mail",
			"add high_risk = true to a pool, or name one with pool in [containment]",
		})
	}
	d.validatePrepend(key+".prepend", t, scans)
}

// mostPrepended bounds what a tenant's messages get at their top.
const mostPrepended = 8

// validatePrepend judges header fields that messages get. They stand before everything that is signed, and must not say anything that a
// signature, or a receiver, takes for the sender's own word.
func (d *decoder) validatePrepend(key string, t *Tenant, scans bool) {
	d.judge(
		filled(key, t.Prepend, "empty", `remove it, or name a field such as "Feedback-ID: acme:kanmon"`),
		rule{key, len(t.Prepend), len(t.Prepend) <= mostPrepended, "%d fields are too many", fmt.Sprintf("want %d at most", mostPrepended)},
		rule{key, nil, scans || !d.good(key[:strings.LastIndexByte(key, '.')]+".scan"), "only what kanmon holds to scan it gets a field", `add scan = "all" or "sample"`},
	)
	for i, field := range t.Prepend {
		d.judge(sound(fmt.Sprintf("%s[%d]", key, i), field, checkField(field), "is not a field to prepend", `want a field such as "Feedback-ID: acme:kanmon"`))
	}
}

// signedFields are those that signatures cover, or that receivers judge by. A second one breaks a signature that over-signs it (RFC 6376
// §8.15), or lies.
var signedFields = []string{
	"from", "sender", "reply-to", "to", "cc", "bcc", "subject", "date", "message-id", "in-reply-to", "references", "mime-version", "content-type",
	"content-transfer-encoding", "content-disposition", "content-id", "content-description", "return-path", "received", "dkim-signature",
	"authentication-results", "arc-seal", "arc-message-signature", "arc-authentication-results", "list-unsubscribe", "list-unsubscribe-post",
	"resent-date", "resent-from", "resent-sender", "resent-to", "resent-cc", "resent-bcc", "resent-message-id",
}

func checkField(field string) error {
	name, value, found := strings.Cut(field, ":")
	switch {
	case !found || !isFieldName(name):
		return fmt.Errorf("it does not begin with a name and a colon")
	case slices.Contains(signedFields, strings.ToLower(name)):
		return fmt.Errorf("%s is the sender's own, and may be signed", name)
	case strings.TrimSpace(value) == "":
		return fmt.Errorf("it says nothing")
	case len(field) > 900:
		return fmt.Errorf("it is longer than 900 octets")
	case strings.IndexFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) >= 0:
		return fmt.Errorf("only printable ASCII can stand in it")
	}
	return nil
}
