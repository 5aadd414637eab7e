package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/event/journal"
)

// validate applies the rules that go beyond the form of a single value. Values that did not parse are left out:
// their own error is enough.
func (d *decoder) validate(cfg *Config) {
	d.judge(sound("hostname", cfg.Hostname, checkHostname(cfg.Hostname), "is not a host name", `want a name such as "gw.example.jp"`))
	d.validateIntercept(cfg)
	d.validateSendingIPs(cfg.SendingIPs)
	d.validatePools(cfg)
	d.validateTenants(cfg)
	d.validateRoutes(cfg)
	d.validatePolicy(cfg)
	d.validateContent(cfg)
	d.validateDestinations(cfg.Destinations)
	d.validateTLS(&cfg.TLS)
	d.validateLimits(&cfg.Limits)
	d.validateTimeouts(&cfg.Timeouts)
	d.validateJournal(&cfg.Journal)
	d.validateRescue(&cfg.Rescue)
	d.validateShaping(cfg)
	d.validateStanding(&cfg.Standing)
	d.validateWatch(&cfg.Watch)
	d.validateTLSPolicy(cfg)
	d.validateMetrics(cfg)
	d.validateWeb(cfg)
	d.validateHistory(cfg)
	d.validateNotify(cfg)
	d.validatePaths(map[string]string{
		"classification.rules": cfg.Classification.Rules, "standing.file": cfg.Standing.File, "senders.file": cfg.Senders.File,
		"admin.socket": cfg.Admin.Socket,
	})
	d.judge(
		rule{
			"drain.timeout", Short(cfg.Drain.Timeout), cfg.Drain.Timeout >= time.Second, "%s would cut every session at once",
			`want at least "1s"; "15m" lets an MX answer for every message it was given`,
		},
		rule{"drain.timeout", Short(cfg.Drain.Timeout), cfg.Drain.Timeout <= 24*time.Hour, "%s is too long", `want at most "24h"`},
		rule{"drain.notice", Short(cfg.Drain.Notice), cfg.Drain.Notice >= 0 && cfg.Drain.Notice <= 5*time.Minute, "%s is no such time", `want "0s" to "5m"`},
		rule{
			"drain.soft", Short(cfg.Drain.Soft), cfg.Drain.Soft >= time.Second && cfg.Drain.Soft <= time.Hour, "%s is no such time",
			`want "1s" to "1h"; Postfix uses a connection again for 300 s`,
		},
		rule{"drain.idle", Short(cfg.Drain.Idle), cfg.Drain.Idle >= time.Second && cfg.Drain.Idle <= time.Hour, "%s is no such time", `want "1s" to "1h"`},
	)
}

func (d *decoder) validateMetrics(cfg *Config) {
	for _, key := range [...]string{"metrics.listen", "metrics.tenants"} {
		if d.has(key) && !d.has("metrics.on") && d.good(key) {
			d.wrong(key, "it is about metrics, and there are none", "add on = true; with on = false the other keys may stay for later")
		}
	}
	m := &cfg.Metrics
	d.judge(rule{"metrics.listen", m.Listen, !m.On || !d.portOfMail(cfg, m.Listen), "%v: mail comes in by this port", `want one of its own, such as "127.0.0.1:9725"`})
}

func (d *decoder) validateStanding(s *Standing) {
	const (
		waited = "%d is no number of them that can be waited for"
		to64   = "want 1 to 64"
		month  = 30 * 24 * time.Hour
	)
	d.judge(
		within("standing.listed_replies", s.ListedReplies, 1, 64, waited, to64),
		within("standing.listed_destinations", s.ListedDestinations, 1, 64, waited, to64),
		within("standing.refused_tenants", s.RefusedTenants, 1, 64, waited, to64),
		within("standing.refused_destinations", s.RefusedDestinations, 1, 64, waited, to64),
		lasting("standing.within", s.Within, time.Minute, month),
		lasting("standing.listed_for", s.ListedFor, time.Minute, month),
		lasting("standing.refused_for", s.RefusedFor, time.Minute, month),
		lasting("standing.longest", s.Longest, time.Minute, month),
	)
	if d.good("standing") && s.Longest < max(s.ListedFor, s.RefusedFor) {
		d.wrong("standing.longest", fmt.Sprintf("%s is less than a first suspension", s.Longest), "want at least listed_for and refused_for")
	}
}

// MostPerHour bounds rescues of one tenant at one provider: more would be no bound.
const MostPerHour = 10_000

func perHour(key string, n int) rule {
	return within(key, n, 0, MostPerHour, "%d is no number of rescues in an hour", fmt.Sprintf("want 0 to %d; 0 rescues nothing", MostPerHour))
}

func (d *decoder) validateRescue(r *Rescue) {
	const owner = "/%d is no netblock of one owner"
	d.judge(
		within("rescue.attempts", r.Attempts, 1, 5, "%d is no number of other sending IPs to try", `want 1 to 5; mode = "off" tries none`),
		rule{
			"rescue.time", r.Time, r.Time >= time.Second && r.Time <= 3*time.Minute,
			"%s: the MSA waits for 5 minutes at most, and the MX's own answer comes on top", `want "1s" to "3m"`,
		},
		perHour("rescue.per_hour", r.PerHour),
		within("rescue.netblock_v4", r.NetblockV4, 8, 32, owner, "want 8 to 32"),
		within("rescue.netblock_v6", r.NetblockV6, 16, 128, owner, "want 16 to 128"),
	)
	if key := "rescue.body_bytes"; d.good(key) && r.BodyBytes > r.BodiesBytes && d.good("rescue.bodies_bytes") {
		d.wrong(key, fmt.Sprintf("%d octets for one message is more than rescue.bodies_bytes, %d, for all", r.BodyBytes, r.BodiesBytes), "want less than that")
	}
}

func (d *decoder) validateSendingIPs(ips []SendingIP) {
	seen := map[netip.Addr]string{}
	for i, ip := range ips {
		key := fmt.Sprintf("sending_ip[%d]", i)
		if d.failedItself(key) {
			continue
		}
		d.validateSendingAddress(key, ip.Address, seen)
		d.validateEHLO(key, ip)
		d.judge(rule{
			key + ".path", ip.Path, ip.Path == "" && !d.has(key+".path") || isName(ip.Path), "%q is not a name",
			`want letters, digits, hyphens and underscores, at most 64, such as "tunnel-osaka"`,
		})
		if key := key + ".ports"; d.has(key) && d.good(key) {
			if _, _, ok := ip.PortRange(); !ok {
				d.wrong(key, fmt.Sprintf("%q are no ports", ip.Ports), `want the first and the last, from 1024 on, such as "20000-29999"`)
			}
		}
		if ip.Required && ip.Floating && d.good(key) {
			d.wrong(key+".required", fmt.Sprintf("%s cannot be required and floating: kanmon would not start where another gateway has it", ip.Address), "keep one of the two")
		}
	}
}

// PortRange returns the source ports that the sending IP may use. Not ok: it may use all.
func (ip *SendingIP) PortRange() (first, last uint16, ok bool) {
	low, high, _ := strings.Cut(ip.Ports, "-")
	from, err := strconv.ParseUint(low, 10, 16)
	to, errTo := strconv.ParseUint(high, 10, 16)
	return uint16(from), uint16(to), err == nil && errTo == nil && from >= 1024 && from < to
}

func (d *decoder) validateSendingAddress(key string, addr netip.Addr, seen map[netip.Addr]string) {
	key += ".address"
	d.must(key, `address = "203.0.113.10", a local address that mail may leave from`)
	d.judge(rule{
		key, addr, !addr.IsUnspecified() && !addr.IsMulticast() && !addr.IsLinkLocalUnicast(), "%q cannot be a sending IP",
		"want an address of this host that an MX can answer",
	})
	if first, twice := seen[addr]; twice && d.good(key) {
		d.wrong(key, fmt.Sprintf("%q is a sending IP already, in line %d", addr, d.line(first)), "remove one of the two")
	} else if d.has(key) {
		seen[addr] = key
	}
}

func (d *decoder) validateEHLO(key string, ip SendingIP) {
	key += ".ehlo"
	d.must(key, `ehlo = "out10.example.jp", the name that the PTR of the address gives`)
	err := checkHostname(ip.EHLO)
	d.judge(sound(key, ip.EHLO, err, "is not a host name", `want the name that the PTR of the address gives, such as "out10.example.jp"`))
	d.judge(rule{key, ip.EHLO, err != nil || strings.Contains(ip.EHLO, "."), "%q is not a fully qualified name", "want the name with its domain (RFC 5321 section 2.3.5)"})
}

func (d *decoder) validateDestinations(destinations []Destination) {
	seen := map[netip.Prefix]string{}
	for i, dest := range destinations {
		key := fmt.Sprintf("destination[%d]", i)
		if d.failedItself(key) {
			continue
		}
		d.must(key+".networks", `networks = ["192.0.2.0/24"], the addresses of the MXs that the rule is for`)
		d.judge(filled(key+".networks", dest.Networks, "empty: the rule is for no destination", `want networks such as ["192.0.2.0/24"]`))
		for j, network := range dest.Networks {
			item := fmt.Sprintf("%s.networks[%d]", key, j)
			first, twice := seen[network]
			if !network.IsValid() {
				continue
			}
			if twice {
				d.wrong(item, fmt.Sprintf("%q has a rule already, in line %d", network, d.line(first)), "the most specific network wins, so each may stand only once")
				continue
			}
			seen[network] = item
		}
		d.validateNames(key, &destinations[i])
		if dest.Passthrough && d.has(key+".tls") {
			d.wrong(key+".tls", "tls has no effect with passthrough = true: kanmon does not see inside those sessions", "remove tls or passthrough")
		}
	}
}

func (d *decoder) validateTLS(t *TLS) {
	cert, key := t.MSACertificate != "", t.MSAKey != ""
	if cert && !key && d.good("tls.msa_key") {
		d.wrong("tls.msa_certificate", "msa_certificate is set, but msa_key is missing", `add msa_key = "/path/to/key.pem"`)
	}
	if key && !cert && d.good("tls.msa_certificate") {
		d.wrong("tls.msa_key", "a key without its certificate", `add msa_certificate = "/path/to/chain.pem"`)
	}
	d.judge(absolute("tls.msa_certificate", t.MSACertificate), absolute("tls.msa_key", t.MSAKey))
}

func (d *decoder) validateLimits(l *Limits) {
	const most = 10_000_000
	for _, row := range []struct {
		key   string
		value int
		least int
		why   string
	}{
		{"sessions", l.Sessions, 1, "without sessions no mail passes"},
		{"sessions_per_source", l.SessionsPerSource, 1, "without sessions no mail passes"},
		{"sessions_reserve", l.SessionsReserve, 0, "0 holds nothing back"},
		{"recipients", l.Recipients, 100, "RFC 5321 section 4.5.3.1.8: at least 100 recipients must be taken"},
		{"bad_commands", l.BadCommands, 1, "the first mistake must be allowed"},
		{"idle_commands", l.IdleCommands, 10, "MSAs send RSET and NOOP between transactions"},
		{"transactions", l.Transactions, 0, ""},
	} {
		d.judge(
			rule{"limits." + row.key, row.value, row.value >= row.least, "%d is too low: " + row.why, fmt.Sprintf("want at least %d", row.least)},
			rule{"limits." + row.key, row.value, row.value <= most, "%d is too high", fmt.Sprintf("want at most %d", most)},
		)
	}
	d.judge(
		rule{
			"limits.body_bytes", l.BodyBytes, l.BodyBytes == 0 || l.BodyBytes >= 64<<10,
			"%d octets is too low: RFC 5321 section 4.5.3.1.7: a message of 64 KiB must be taken", `want at least "64KiB", or 0 for no limit`,
		},
		rule{
			"limits.memory", l.Memory, l.Memory == 0 || l.Memory >= 32<<20,
			"%d octets is too low: collecting garbage would take all the time", `want at least "32MiB", or 0 for no limit`,
		},
	)
	if l.SessionsPerSource > l.Sessions && d.good("limits") && d.has("limits.sessions_per_source") {
		d.wrong("limits.sessions_per_source", fmt.Sprintf("%d is more than limits.sessions, %d", l.SessionsPerSource, l.Sessions), "want at most limits.sessions")
	}
	if l.SessionsReserve >= l.Sessions && d.good("limits") && d.has("limits.sessions_reserve") {
		d.wrong("limits.sessions_reserve", fmt.Sprintf("%d of %d sessions leaves none for a tenant that has more than others", l.SessionsReserve, l.Sessions), "want less than limits.sessions")
	}
}

// validateTimeouts: shorter ones lose mail that the MX was about to take; longer ones only hold sessions.
func (d *decoder) validateTimeouts(t *Timeouts) {
	for phase := range event.PhaseCount {
		key, value := "timeouts."+phase.String(), *t.Of(phase)
		least, most, why := phase.Bounds()
		d.judge(
			rule{key, Short(value), value >= least, "%s is too short: " + why, fmt.Sprintf("want at least %q", Short(least))},
			rule{key, Short(value), value <= most, "%s is too long", fmt.Sprintf("want at most %q", Short(most))},
		)
	}
}

// Short prints a duration as an operator writes it: "5m", not "5m0s".
func Short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

func (d *decoder) validateJournal(j *Journal) {
	d.judge(
		sound("journal.gateway", j.Gateway, checkHostname(j.Gateway), "is no name of a gateway", `want a name such as "gw1"`),
		absolute("journal.records", strings.TrimPrefix(j.Records, "-")),
		absolute("journal.session_log", strings.TrimPrefix(j.SessionLog, "-")),
		absolute("journal.hash_key_file", j.HashKeyFile),
	)
	if j.Records != "" && j.Records == j.SessionLog {
		d.wrong("journal.session_log", fmt.Sprintf("%q takes the records already: two forms in one file can be read by nobody", j.SessionLog), "want another path")
	}
	if j.Identify && j.Records == "" && d.good("journal") {
		d.wrong("journal.identify", "it is for the records, which go nowhere", `add records = "/var/log/kanmon/records.jsonl", or remove identify`)
	}
	if j.Addresses == journal.AddressesHashed && j.HashKeyFile == "" && d.good("journal") {
		d.wrong("journal.addresses", `"hashed" needs a key: without one a hash of an address is soon guessed`, `add hash_key_file = "/etc/kanmon/hash.key", a file of 16 random octets or more`)
	}
	if j.Addresses != journal.AddressesHashed && j.HashKeyFile != "" && d.good("journal") {
		d.wrong("journal.hash_key_file", `a key is only used with addresses = "hashed"`, `add addresses = "hashed", or remove the key`)
	}
}
