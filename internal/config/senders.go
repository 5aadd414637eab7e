package config

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
	"kanmon/internal/who/mailbox"
)

// Senders is what holds for all who send.
type Senders struct {
	File           string         `toml:"file"`           // path of the SQLite file; "": forgotten at the end of the process
	UnknownTenant  string         `toml:"unknown_tenant"` // whose the mail is that no tenant claims; "": it gets 451
	Spoofing       Spoofing       `toml:"spoofing"`
	FoldSubaddress bool           `toml:"fold_subaddress"` // bob+tag@acme.example is bob@acme.example
	Internal       []netip.Prefix `toml:"internal"`
}

// SenderLimit is how much somebody may send.
type SenderLimit struct {
	Name      string        `toml:"name"`
	Per       limit.Scope   `toml:"per"`
	Count     limit.Measure `toml:"count"`
	Limit     Size          `toml:"limit"`
	Every     time.Duration `toml:"every"` // 0 for sessions
	Burst     Size          `toml:"burst"` // 0: limit.Rule's own
	Tenants   Names         `toml:"tenant"`
	Accounts  Names         `toml:"account"`
	Providers Names         `toml:"provider"`
	Action    limit.Action  `toml:"action"`
	Pool      string        `toml:"pool"` // of limit.Divert
	Enforce   bool          `toml:"enforce"`
	Fair      bool          `toml:"fair"`
	Exempt    []Exemption   `toml:"exempt"`
}

// Containment is what is done about senders whose mail is refused where it goes.
type Containment struct {
	Enforce       bool          `toml:"enforce"`
	Most          contain.Level `toml:"most"`
	SlowRate      int           `toml:"slow_rate"` // mails an hour
	Pool          string        `toml:"pool"`      // ""; none: mail is only slowed
	AccountVolume int           `toml:"account_volume"`
	TenantVolume  int           `toml:"tenant_volume"`
}

// Suspicion is what is done with what speaks against a mail before its content is known.
type Suspicion struct {
	Record bool `toml:"record"`
}

// Spoofing says what is done about a sender whose domain is another tenant's.
type Spoofing string

// Exemption is mail that a limit does not count.
type Exemption string

// The words of these types.
const (
	SpoofingRecord Spoofing = "record"
	SpoofingRefuse Spoofing = "refuse"

	ExemptNullSender Exemption = "null_sender"
	ExemptInternal   Exemption = "internal"
)

// Words returns what there is to choose from.
func (Spoofing) Words() []string { return words(SpoofingRecord, SpoofingRefuse) }

// Words returns the exemptions.
func (Exemption) Words() []string { return words(ExemptNullSender, ExemptInternal) }

// completeSenders fills in the defaults that depend on other keys.
func (d *decoder) completeSenders(cfg *Config) {
	for i := range cfg.SenderLimits {
		l, key := &cfg.SenderLimits[i], fmt.Sprintf("sender_limit[%d]", i)
		if !d.has(key + ".enforce") {
			l.Enforce = true
		}
		if !d.has(key + ".fair") {
			l.Fair = l.Per.Of() == limit.OfIP && l.Limit >= 20
		}
	}
	if !d.has("containment.pool") {
		for _, name := range slices.Sorted(maps.Keys(cfg.Pools)) {
			if cfg.Pools[name].HighRisk {
				cfg.Containment.Pool = name
			}
		}
	}
}

func (d *decoder) validatePolicy(cfg *Config) {
	var tenants []string
	for _, t := range cfg.Tenants {
		tenants = append(tenants, t.Name)
	}
	d.judge(refers("senders.unknown_tenant", "tenant", cfg.Senders.UnknownTenant, tenants, "add a [[tenant]] of this name"))
	names := map[string]string{}
	for i := range cfg.SenderLimits {
		if key := fmt.Sprintf("sender_limit[%d]", i); !d.failedItself(key) {
			d.validateSenderLimit(cfg, key, &cfg.SenderLimits[i], tenants, names)
		}
	}
	d.validateContainment(cfg)
	for i := range cfg.Tenants {
		d.validateAccountsOf(fmt.Sprintf("tenant[%d]", i), &cfg.Tenants[i])
	}
}

func (d *decoder) validateSenderLimit(cfg *Config, key string, l *SenderLimit, tenants []string, names map[string]string) {
	d.validateName(key+".name", l.Name, "limit", "account-hour", names)
	d.judge(rule{
		key + ".name", l.Name, l.Name != containedName, "%q is the limit of senders that are contained",
		"want another name; its amount is slow_rate of [containment]",
	})
	d.must(key+".per", `per = "account"`)
	d.must(key+".count", `count = "messages"`)
	d.must(key+".limit", "limit = 500")
	if count := key + ".count"; d.has(count) && d.good(count) {
		d.validateAmount(key+".limit", l.Count)
		d.validateAmount(key+".burst", l.Count)
	}
	most := mostOf(l.Count)
	d.judge(
		rule{key + ".count", l.Count, l.Per.Counts(l.Count), "%s of a " + l.Per.String() + " cannot be counted", "want another count, or another per"},
		rule{key + ".limit", l.Limit, l.Limit >= 1, "%d is not a limit", "want 1 or more; to stop a sender, use kanmon tenant block"},
		rule{key + ".limit", l.Limit, l.Limit <= most, "%d is more than can be counted", fmt.Sprintf("want 1 to %d, or no limit", most)},
	)
	d.validatePeriod(key, l)
	d.known(key+".tenant", "tenant", l.Tenants, tenants, "add a [[tenant]] of this name")
	var providers []string
	for _, p := range cfg.providers {
		providers = append(providers, p.Name)
	}
	if d.good("providers_file") {
		d.known(key+".provider", "provider", l.Providers, providers, "`kanmon explain` shows a recipient's provider; add your own in providers_file")
	}
	d.validateAccounts(key+".account", l.Accounts)
	d.validateLimitAction(cfg, key, l)
	if exempt := key + ".exempt"; d.good(exempt) && d.good("senders.internal") && slices.Contains(l.Exempt, ExemptInternal) && len(cfg.Senders.Internal) == 0 {
		d.wrong(exempt, "nothing is internal", `name the networks of your own MXs: internal = ["10.0.0.0/8"] in [senders]`)
	}
}

// containedName is the name of the limit that slow_rate sets: operators change it by this name.
const containedName = "contained"

// mostOf is the largest amount of a limit.
func mostOf(count limit.Measure) Size {
	if count == limit.Sessions {
		return 1 << 30
	}
	return 1 << 50
}

// validateAmount judges an amount that is written as a size is: only octets have units.
func (d *decoder) validateAmount(key string, of limit.Measure) {
	at, found := d.places[key]
	if !found || of == limit.Octets {
		return
	}
	written := string(d.doc[at.off : at.off+at.n])
	amount := strings.Trim(written, `"'`)
	if _, err := strconv.ParseUint(amount, 10, 63); err == nil || amount == written {
		return
	}
	problem := fmt.Sprintf("%q is not a number of %s", amount, of)
	want := fmt.Sprintf("want a number alone, such as 500; count = %q says of what", of.String())
	if i := slices.IndexFunc(d.errs, func(e *Error) bool { return e.Key == key }); i >= 0 {
		d.errs[i].Problem, d.errs[i].Want = problem, want
		return
	}
	d.failed = append(d.failed, key)
	d.wrong(key, problem, want)
}

func (d *decoder) validatePeriod(key string, l *SenderLimit) {
	switch every := key + ".every"; {
	case !d.good(every) || !d.good(key+".count"):
	case l.Count == limit.Sessions && d.has(every):
		d.wrong(every, "sessions are counted at once: there is no time", "remove it")
	case l.Count == limit.Sessions:
	default:
		d.must(every, `every = "1h"`)
		d.judge(lasting(every, l.Every, time.Second, limit.Longest))
	}
	switch burst := key + ".burst"; {
	case !d.has(burst) || !d.good(burst):
	case l.Count == limit.Sessions:
		d.wrong(burst, "sessions are counted at once: there is no burst", "remove it")
	case l.Burst < 1 || l.Burst > l.Limit && d.good(key+".limit"):
		d.wrong(burst, fmt.Sprintf("%d is not a burst of a limit of %d", l.Burst, l.Limit), fmt.Sprintf("want 1 to %d", max(1, l.Limit)))
	}
	d.judge(rule{key + ".burst", nil, !l.Fair || l.Burst != 1, "a burst of 1 cannot be shared", "want 2 or more, or fair = false"})
	if fair := key + ".fair"; d.has(fair) && l.Fair && (l.Per.Of() != limit.OfIP || l.Limit < 20) {
		d.wrong(fair, "only tenants that share a sending IP can be fair to each other, and only where there is something to share", `want per = "sending_ip_provider" and a limit of at least 20`)
	}
}

func (d *decoder) validateAccounts(key string, accounts Names) {
	d.judge(filled(key, accounts, "empty", "remove it, or name an address"))
	for i, a := range accounts {
		domain, all := strings.CutPrefix(a, "@")
		if !all {
			domain = mailbox.DomainOf(mailbox.Named(a))
		}
		d.judge(rule{
			fmt.Sprintf("%s[%d]", key, i), a, checkDomain(domain) == nil, "%q is not an address",
			`want "news@acme.example", or "@acme.example" for all of a domain`,
		})
	}
}

func (d *decoder) validateLimitAction(cfg *Config, key string, l *SenderLimit) {
	action, pool := key+".action", key+".pool"
	switch {
	case !d.good(action):
	case l.Action == limit.Divert && (!l.Per.Can(limit.Divert) || !l.Count.Can(limit.Divert)):
		d.wrong(action, "this limit is checked after the sending IP is chosen, so it cannot divert mail", `want a limit of messages or bytes of a tenant or an account, or another action`)
	case l.Action == limit.Divert && !d.has(pool):
		d.wrong(action, "there is no pool to divert to", `add pool = "quarantine"`)
	case l.Action != limit.Divert && d.has(pool):
		d.wrong(pool, "only action = \"divert\" needs a pool", "remove it, or divert")
	case l.Action == limit.Block && !l.Per.Can(limit.Block):
		d.wrong(action, "a block is of a tenant or an account, everywhere", `want per = "tenant" or per = "account"`)
	case l.Action == limit.Divert:
		d.poolKnown(cfg, pool, l.Pool)
	}
}

func (d *decoder) validateContainment(cfg *Config) {
	c := &cfg.Containment
	if d.has("containment.pool") {
		d.poolKnown(cfg, "containment.pool", c.Pool)
	}
	const recipients = "%d is no number of recipients an hour"
	d.judge(
		within("containment.slow_rate", c.SlowRate, 1, 100_000, "%d is no number of mails an hour", "want 1 to 100000"),
		within("containment.account_volume", c.AccountVolume, 1, 10_000_000, recipients, "want 1 to 10000000"),
		within("containment.tenant_volume", c.TenantVolume, 1, 10_000_000, recipients, "want 1 to 10000000"),
	)
}

// isFieldName reports whether a text is a header field's name (RFC 5322 §2.2).
func isFieldName(name string) bool {
	return name != "" && len(name) <= 64 && !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == ':' })
}
