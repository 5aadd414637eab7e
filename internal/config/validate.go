package config

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/event/journal"
)

// validate applies the rules that go beyond the form of a single value. Values that did not parse are left out:
// their own error is enough.
func (d *decoder) validate(cfg *Config) {
	if err := checkHostname(cfg.Hostname); err != nil && d.has("hostname") && d.good("hostname") {
		d.wrong("hostname", fmt.Sprintf("%q is not a host name: %s", cfg.Hostname, err), `want a name such as "gw.example.jp"`)
	}
	d.validateIntercept(cfg)
	d.validateSendingIPs(cfg.SendingIPs)
	d.validatePools(cfg)
	d.validateTenants(cfg)
	d.validateRoutes(cfg)
	d.validatePolicy(cfg)
	d.validateDestinations(cfg.Destinations)
	d.validateTLS(&cfg.TLS)
	d.validateLimits(&cfg.Limits)
	d.validateTimeouts(&cfg.Timeouts)
	d.validateJournal(&cfg.Journal)
	d.validateDrain(&cfg.Drain)
	d.validateRescue(&cfg.Rescue)
	d.validateStanding(&cfg.Standing)
	d.validatePath("classification.rules", cfg.Classification.Rules)
	d.validatePath("standing.file", cfg.Standing.File)
	d.validatePath("admin.socket", cfg.Admin.Socket)
}

// validatePath wants a path that does not depend on where kanmon was started.
func (d *decoder) validatePath(key, path string) {
	switch {
	case !d.has(key) || !d.good(key) || slices.Contains(d.off, key):
	case path == "":
		d.wrong(key, "empty", "want a path, or leave the key out")
	case !filepath.IsAbs(path):
		d.wrong(key, fmt.Sprintf("%q is not an absolute path", path), "want a path that begins with /")
	}
}

func (d *decoder) validateStanding(s *Standing) {
	const most = 64
	for _, row := range []struct {
		key   string
		count int
	}{
		{"listed_replies", s.ListedReplies},
		{"listed_destinations", s.ListedDestinations},
		{"refused_tenants", s.RefusedTenants},
		{"refused_destinations", s.RefusedDestinations},
	} {
		if key := "standing." + row.key; d.good(key) && (row.count < 1 || row.count > most) {
			d.wrong(key, fmt.Sprintf("%d is no number of them that can be waited for", row.count), fmt.Sprintf("want 1 to %d", most))
		}
	}
	for _, row := range []struct {
		key  string
		time time.Duration
	}{{"within", s.Within}, {"listed_for", s.ListedFor}, {"refused_for", s.RefusedFor}, {"longest", s.Longest}} {
		if key := "standing." + row.key; d.good(key) && (row.time < time.Minute || row.time > 30*24*time.Hour) {
			d.wrong(key, fmt.Sprintf("%s is out of range", row.time), `want "1m" to "720h"`)
		}
	}
	if d.good("standing") && s.Longest < max(s.ListedFor, s.RefusedFor) {
		d.wrong("standing.longest", fmt.Sprintf("%s is less than a first suspension", s.Longest), "want at least listed_for and refused_for")
	}
}

func (d *decoder) validateRescue(r *Rescue) {
	const most = 5
	if key := "rescue.attempts"; d.good(key) && (r.Attempts < 1 || r.Attempts > most) {
		d.wrong(key, fmt.Sprintf("%d is no number of other sending IPs to try", r.Attempts), fmt.Sprintf(`want 1 to %d; mode = "off" tries none`, most))
	}
	if key := "rescue.time"; d.good(key) && (r.Time < time.Second || r.Time > 3*time.Minute) {
		d.wrong(key, fmt.Sprintf("%s: the MSA waits for 5 minutes at most, and the MX's own answer comes on top", r.Time), `want "1s" to "3m"`)
	}
	if key := "rescue.body_bytes"; d.good(key) && r.BodyBytes > r.BodiesBytes && d.good("rescue.bodies_bytes") {
		d.wrong(key, fmt.Sprintf("%d octets for one message is more than rescue.bodies_bytes, %d, for all", r.BodyBytes, r.BodiesBytes), "want less than that")
	}
	d.validatePerHour("rescue.per_hour", r.PerHour)
	d.validateNetblock("rescue.netblock_v4", r.NetblockV4, 8, 32)
	d.validateNetblock("rescue.netblock_v6", r.NetblockV6, 16, 128)
}

func (d *decoder) validatePerHour(key string, n int) {
	if d.good(key) && (n < 0 || n > MostPerHour) {
		d.wrong(key, fmt.Sprintf("%d is no number of rescues in an hour", n), fmt.Sprintf("want 0 to %d; 0 rescues nothing", MostPerHour))
	}
}

// MostPerHour bounds rescues of one tenant at one provider: more would be no bound.
const MostPerHour = 10_000

func (d *decoder) validateNetblock(key string, bits, least, most int) {
	if d.good(key) && (bits < least || bits > most) {
		d.wrong(key, fmt.Sprintf("/%d is no netblock of one owner", bits), fmt.Sprintf("want %d to %d", least, most))
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
		if ip.Required && ip.Floating && d.good(key) {
			d.wrong(key+".required", fmt.Sprintf("%s cannot be required and floating: kanmon would not start where another gateway has it", ip.Address), "keep one of the two")
		}
	}
}

func (d *decoder) validateSendingAddress(key string, addr netip.Addr, seen map[netip.Addr]string) {
	key += ".address"
	first, twice := seen[addr]
	switch {
	case !d.good(key):
	case !d.has(key):
		d.wrong(key, "missing", `add address = "203.0.113.10", a local address that mail may leave from`)
	case addr.IsUnspecified() || addr.IsMulticast() || addr.IsLinkLocalUnicast():
		d.wrong(key, fmt.Sprintf("%q cannot be a sending IP", addr), "want an address of this host that an MX can answer")
	case twice:
		d.wrong(key, fmt.Sprintf("%q is a sending IP already, in line %d", addr, d.line(first)), "remove one of the two")
	default:
		seen[addr] = key
	}
}

func (d *decoder) validateEHLO(key string, ip SendingIP) {
	key += ".ehlo"
	err := checkHostname(ip.EHLO)
	switch {
	case !d.good(key):
	case !d.has(key):
		d.wrong(key, "missing", `add ehlo = "out10.example.jp", the name that the PTR of the address gives`)
	case err != nil:
		d.wrong(key, fmt.Sprintf("%q is not a host name: %s", ip.EHLO, err), `want the name that the PTR of the address gives, such as "out10.example.jp"`)
	case !strings.Contains(ip.EHLO, "."):
		d.wrong(key, fmt.Sprintf("%q is not a fully qualified name", ip.EHLO), "want the name with its domain (RFC 5321 section 2.3.5)")
	}
}

func (d *decoder) validateDestinations(destinations []Destination) {
	seen := map[netip.Prefix]string{}
	for i, dest := range destinations {
		key := fmt.Sprintf("destination[%d]", i)
		if d.failedItself(key) {
			continue
		}
		if !d.has(key + ".networks") {
			d.wrong(key+".networks", "missing", `add networks = ["192.0.2.0/24"], the addresses of the MXs that the rule is for`)
		} else if len(dest.Networks) == 0 && d.good(key+".networks") {
			d.wrong(key+".networks", "empty: the rule is for no destination", `want networks such as ["192.0.2.0/24"]`)
		}
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
	d.absolute("tls.msa_certificate", t.MSACertificate)
	d.absolute("tls.msa_key", t.MSAKey)
}

// absolute: a service has no folder of its own that a relative path could mean.
func (d *decoder) absolute(key, path string) {
	if path != "" && !filepath.IsAbs(path) {
		d.wrong(key, fmt.Sprintf("%q is not an absolute path", path), "want a path that begins with /")
	}
}

func (d *decoder) validateLimits(l *Limits) {
	const most = 10_000_000
	rows := []struct {
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
	}
	for _, row := range rows {
		key := "limits." + row.key
		if !d.has(key) || !d.good(key) {
			continue
		}
		if row.value < row.least {
			d.wrong(key, fmt.Sprintf("%d is too low: %s", row.value, row.why), fmt.Sprintf("want at least %d", row.least))
		} else if row.value > most {
			d.wrong(key, fmt.Sprintf("%d is too high", row.value), fmt.Sprintf("want at most %d", most))
		}
	}
	if l.SessionsPerSource > l.Sessions && d.good("limits") && d.has("limits.sessions_per_source") {
		d.wrong("limits.sessions_per_source", fmt.Sprintf("%d is more than limits.sessions, %d", l.SessionsPerSource, l.Sessions), "want at most limits.sessions")
	}
	if l.SessionsReserve >= l.Sessions && d.good("limits") && d.has("limits.sessions_reserve") {
		d.wrong("limits.sessions_reserve", fmt.Sprintf("%d of %d sessions leaves none for a tenant that has more than others", l.SessionsReserve, l.Sessions), "want less than limits.sessions")
	}
	if l.BodyBytes != 0 && l.BodyBytes < 64<<10 {
		d.wrong("limits.body_bytes", fmt.Sprintf("%d octets is too low: RFC 5321 section 4.5.3.1.7: a message of 64 KiB must be taken", l.BodyBytes), `want at least "64KiB", or 0 for no limit`)
	}
	if l.Memory != 0 && l.Memory < 32<<20 {
		d.wrong("limits.memory", fmt.Sprintf("%d octets is too low: collecting garbage would take all the time", l.Memory), `want at least "32MiB", or 0 for no limit`)
	}
}

// validateTimeouts: shorter ones lose mail that the MX was about to take; longer ones only hold sessions.
func (d *decoder) validateTimeouts(t *Timeouts) {
	for phase := range event.PhaseCount {
		key, value := "timeouts."+phase.String(), *t.Of(phase)
		switch least, most, why := phase.Bounds(); {
		case !d.has(key) || !d.good(key):
		case value < least:
			d.wrong(key, fmt.Sprintf("%s is too short: %s", Short(value), why), fmt.Sprintf("want at least %q", Short(least)))
		case value > most:
			d.wrong(key, fmt.Sprintf("%s is too long", Short(value)), fmt.Sprintf("want at most %q", Short(most)))
		}
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
	if d.has("journal.gateway") && d.good("journal.gateway") {
		if err := checkHostname(j.Gateway); err != nil {
			d.wrong("journal.gateway", fmt.Sprintf("%q is no name of a gateway: %s", j.Gateway, err), `want a name such as "gw1"`)
		}
	}
	d.absolute("journal.records", strings.TrimPrefix(j.Records, "-"))
	d.absolute("journal.session_log", strings.TrimPrefix(j.SessionLog, "-"))
	d.absolute("journal.hash_key_file", j.HashKeyFile)
	if j.Records != "" && j.Records == j.SessionLog {
		d.wrong("journal.session_log", fmt.Sprintf("%q takes the records already: two forms in one file can be read by nobody", j.SessionLog), "want another path")
	}
	if j.Addresses == journal.AddressesHashed && j.HashKeyFile == "" && d.good("journal") {
		d.wrong("journal.addresses", `"hashed" needs a key: without one a hash of an address is soon guessed`, `add hash_key_file = "/etc/kanmon/hash.key", a file of 16 random octets or more`)
	}
	if j.Addresses != journal.AddressesHashed && j.HashKeyFile != "" && d.good("journal") {
		d.wrong("journal.hash_key_file", `a key is only used with addresses = "hashed"`, `add addresses = "hashed", or remove the key`)
	}
}

func (d *decoder) validateDrain(drain *Drain) {
	const key = "drain.timeout"
	switch {
	case !d.has(key) || !d.good(key):
	case drain.Timeout < time.Second:
		d.wrong(key, Short(drain.Timeout)+" would cut every session at once", `want at least "1s"; "15m" lets an MX answer for every message it was given`)
	case drain.Timeout > 24*time.Hour:
		d.wrong(key, Short(drain.Timeout)+" is too long", `want at most "24h"`)
	}
}
