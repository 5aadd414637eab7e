package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"kanmon/internal/who/mailbox"
)

// What an operator can say in words is a type of the package that gives them their meaning, or one of those below, which mean something
// to whoever reads the configuration alone. The decoder asks each for its words.
type vocabulary interface{ Words() []string }

// words are those of a type whose values are their own words.
func words[T ~string](values ...T) (list []string) {
	for _, v := range values {
		list = append(list, string(v))
	}
	return list
}

// RulesOnStop says what a clean stop does with firewall rules that kanmon applied itself.
type RulesOnStop string

// RulesKeep leaves mail waiting in the MSAs until kanmon is back; RulesRemove lets it leave directly.
const (
	RulesKeep   RulesOnStop = "keep"
	RulesRemove RulesOnStop = "remove"
)

// Words returns what there is to choose from.
func (RulesOnStop) Words() []string { return words(RulesKeep, RulesRemove) }

// Sticky says what the choice within a pool depends on, besides the tenant and the provider.
type Sticky string

// With StickySenderDomain, each domain of a tenant has a sending IP of its own; the sender is known after the connection
// was opened, so it often has to be opened twice. With StickyTenant, all domains of a tenant share one.
const (
	StickySenderDomain Sticky = "sender_domain"
	StickyTenant       Sticky = "tenant"
)

// Words returns what there is to choose from.
func (Sticky) Words() []string { return words(StickySenderDomain, StickyTenant) }

// Names are texts; in the file a single one may stand without brackets.
type Names []string

// Networks are networks; in the file a single one may stand without brackets.
type Networks []netip.Prefix

// LogFormat is the form of kanmon's own log.
type LogFormat string

// The log formats.
const (
	FormatText LogFormat = "text"
	FormatJSON LogFormat = "json"
)

// Words returns the formats.
func (LogFormat) Words() []string { return words(FormatText, FormatJSON) }

// Level is the least severity that is logged.
type Level string

// Words returns the levels.
func (Level) Words() []string { return []string{"debug", "info", "warn", "error"} }

// Slog returns the level as log/slog wants it.
func (l Level) Slog() slog.Level {
	switch l {
	case "debug":
		return slog.LevelDebug
	case "warn":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	default:
		return slog.LevelInfo
	}
}

// Size is a number of octets.
type Size int64

// A wrongValue is a value that does not parse, and what would.
type wrongValue struct{ problem, want string }

func (w *wrongValue) Error() string { return w.problem }

func parseAddr(s string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(s)
	switch {
	case err != nil:
		return addr, &wrongValue{fmt.Sprintf("%q is not an IP address", s), `want an address such as "203.0.113.10" or "2001:db8::10"`}
	case addr.Is4In6():
		return addr, &wrongValue{fmt.Sprintf("%q is an IPv4 address inside an IPv6 one", s), fmt.Sprintf("write %q", addr.Unmap())}
	case addr.Zone() != "":
		return addr, &wrongValue{fmt.Sprintf("%q has a zone", s), "want an address that is valid beyond one link"}
	}
	return addr, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(s)
	if err == nil {
		return checkPrefix(s, prefix)
	}
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		single := netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen())
		return netip.Prefix{}, &wrongValue{fmt.Sprintf("%q is an address, not a network", s), fmt.Sprintf("write %q for this one address", single)}
	}
	want := `want a network such as "10.20.0.0/16" or "2001:db8:20::/48"`
	if host, bits, found := strings.Cut(s, "/"); found {
		if addr, err := netip.ParseAddr(host); err == nil {
			return netip.Prefix{}, &wrongValue{
				fmt.Sprintf("%q is not a network: its prefix length is %q", s, bits),
				fmt.Sprintf("want a prefix length from 0 to %d", addr.BitLen()),
			}
		}
	}
	return netip.Prefix{}, &wrongValue{fmt.Sprintf("%q is not a network", s), want}
}

func checkPrefix(s string, prefix netip.Prefix) (netip.Prefix, error) {
	switch {
	case prefix.Addr().Is4In6():
		return netip.Prefix{}, &wrongValue{fmt.Sprintf("%q is an IPv4 network inside an IPv6 one", s), "write it in IPv4 form"}
	case prefix.Masked() != prefix:
		return netip.Prefix{}, &wrongValue{fmt.Sprintf("%q has address bits beyond its prefix length", s), fmt.Sprintf("write %q for the whole network", prefix.Masked())}
	}
	return prefix, nil
}

func parseAddrPort(s string) (netip.AddrPort, error) {
	ap, err := netip.ParseAddrPort(s)
	switch {
	case err != nil:
		return ap, &wrongValue{fmt.Sprintf("%q is not an address with a port", s), `want an IP address and a port such as "0.0.0.0:10025" or "[::]:10025"`}
	case ap.Addr().Is4In6():
		return ap, &wrongValue{fmt.Sprintf("%q is an IPv4 address inside an IPv6 one", s), fmt.Sprintf("write %q", netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()))}
	case ap.Addr().Zone() != "":
		return ap, &wrongValue{fmt.Sprintf("%q has a zone", s), "want an address that is valid beyond one link"}
	case ap.Port() == 0:
		return ap, &wrongValue{fmt.Sprintf("%q has port 0", s), "want a port from 1 to 65535: the firewall rules must name it"}
	}
	return ap, nil
}

func parseDuration(s string) (time.Duration, error) {
	if d, ok := inDays(s); ok {
		return d, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, &wrongValue{fmt.Sprintf("%q is not a duration", s), `want a number with a unit such as "30s", "5m", "1h30m" or "14d"`}
	}
	if d < 0 {
		return 0, &wrongValue{fmt.Sprintf("%q is negative", s), `want a duration such as "5m"`}
	}
	return d, nil
}

// sizeUnits are those an operator would write. Longer suffixes stand first: "B" ends all of them.
var sizeUnits = [...]struct {
	suffix string
	factor int64
}{
	{"KiB", 1 << 10},
	{"MiB", 1 << 20},
	{"GiB", 1 << 30},
	{"kB", 1e3},
	{"KB", 1e3},
	{"MB", 1e6},
	{"GB", 1e9},
	{"B", 1},
}

func parseSize(s string) (Size, error) {
	wrong := &wrongValue{fmt.Sprintf("%q is not a size", s), `want a whole number with a unit (B, kB, MB, GB, KiB, MiB, GiB) such as "50MiB", or a number of octets`}
	number, factor := s, int64(1)
	for _, unit := range sizeUnits {
		if rest, found := strings.CutSuffix(s, unit.suffix); found {
			number, factor = strings.TrimSpace(rest), unit.factor
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil {
		if errors.Is(err, strconv.ErrRange) {
			wrong.problem = fmt.Sprintf("%q is too large", s)
		}
		return 0, wrong
	}
	if n > uint64(math.MaxInt64/factor) {
		return 0, &wrongValue{fmt.Sprintf("%q is too large", s), wrong.want}
	}
	return Size(int64(n) * factor), nil
}

// checkHostname says why a name is not a host name (RFC 5321 §2.3.5, RFC 1123 §2.1), or nil.
func checkHostname(name string) error {
	if name == "" {
		return errors.New("it is empty")
	}
	if len(name) > 253 {
		return fmt.Errorf("it is %d octets long, more than 253", len(name))
	}
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return errors.New("it is an address")
	}
	for label := range strings.SplitSeq(name, ".") {
		if err := checkLabel(label); err != nil {
			return err
		}
	}
	return nil
}

// checkDomain says why a name is not a domain of mail, in any of its forms (RFC 5890), or nil.
func checkDomain(name string) error {
	if form, ok := mailbox.Domain(name); ok {
		name = form
	}
	return checkHostname(name)
}

func checkLabel(label string) error {
	switch {
	case label == "":
		return errors.New("it has an empty part between, before or after dots")
	case len(label) > 63:
		return fmt.Errorf("its part %q is %d octets long, more than 63", label, len(label))
	case label[0] == '-' || label[len(label)-1] == '-':
		return fmt.Errorf("its part %q begins or ends with a hyphen", label)
	}
	for _, r := range label {
		alnum := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !alnum && r != '-' {
			return fmt.Errorf("it contains %q", r)
		}
	}
	return nil
}
