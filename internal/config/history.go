package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// History says what is kept of what has happened to mail, by processes of their own: "kanmon history" and "kanmon view". kanmon itself
// does not know of it.
type History struct {
	On        bool           // the file has the table
	Directory string         `toml:"directory"`
	Records   Names          `toml:"records"`  // paths of the JSON lines
	Gateways  Names          `toml:"gateways"` // whose lines are kept; none: all
	Detail    time.Duration  `toml:"detail"`   // every attempt
	Trouble   time.Duration  `toml:"trouble"`  // attempts that did not deliver
	Counts    time.Duration  `toml:"counts"`   // and events
	Size      Size           `toml:"size"`     // of all of it; 0: no bound
	Metrics   netip.AddrPort `toml:"metrics"`  // the zero AddrPort: none are answered

	Database             string `toml:"database"` // the URL of a PostgreSQL database without a password; "": it is kept in Directory
	DatabasePasswordFile string `toml:"database_password_file"`
}

const (
	day = 24 * time.Hour

	// ViewUser is whom the units of history and page run as.
	ViewUser = "kanmon-view"
	// ViewState is where they keep what is theirs.
	ViewState = "/var/lib/kanmon-view"

	leastHistory = 64 << 20
)

func defaultHistory() History {
	return History{Directory: filepath.Join(ViewState, "history"), Detail: 14 * day, Trouble: 90 * day, Counts: 400 * day, Size: 8 << 30}
}

// ViewDirectories are those of kanmon.service, for the processes that look at what it has written: their own are others.
func ViewDirectories() Directories {
	if HasSystemd() {
		return UsualDirectories()
	}
	return GivenDirectories()
}

func (d *decoder) completeHistory(cfg *Config) {
	h := &cfg.History
	h.On = d.has("history")
	if !d.has("history.trouble") {
		h.Trouble = max(h.Trouble, h.Detail)
	}
	if !d.has("history.counts") {
		h.Counts = max(h.Counts, h.Trouble)
	}
	if records := cfg.Journal.Records; h.On && !d.has("history.records") && filepath.IsAbs(records) {
		h.Records = Names{records}
	}
}

func (d *decoder) validateHistory(cfg *Config) {
	h := &cfg.History
	const years = 3660 * day
	lasting := func(key string, n time.Duration) rule {
		return rule{key, days(n), n >= day && n <= years, "%s is out of range", fmt.Sprintf("want %q to %q", days(day), days(years))}
	}
	d.validatePaths(map[string]string{"history.directory": h.Directory})
	d.validateDatabase(h)
	d.judge(
		filled("history.records", h.Records, "empty: there is nothing to keep", `want a path such as "/var/log/kanmon/records.jsonl"`),
		lasting("history.detail", h.Detail), lasting("history.trouble", h.Trouble), lasting("history.counts", h.Counts),
		rule{"history.size", h.Size, h.Size == 0 || h.Size >= leastHistory, "%d octets is too low: an hour would not fit", `want at least "64MiB", or 0 for no bound`},
		rule{"history.metrics", h.Metrics, !d.portOfMail(cfg, h.Metrics), "%v: mail comes in by this port", `want one of its own, such as "127.0.0.1:9726"`},
		rule{"history.metrics", h.Metrics, !cfg.Metrics.On || h.Metrics.Port() != cfg.Metrics.Listen.Port(), "%v: kanmon's own metrics are answered at this port", `want another one, such as "127.0.0.1:9726"`},
	)
	for i, path := range h.Records {
		key := fmt.Sprintf("history.records[%d]", i)
		d.judge(absolute(key, path))
		if first := slices.Index(h.Records, path); first < i {
			d.wrong(key, fmt.Sprintf("%q is followed already", path), "remove one of the two")
		}
	}
	for i, name := range h.Gateways {
		d.judge(sound(fmt.Sprintf("history.gateways[%d]", i), name, checkHostname(name), "is no name of a gateway", `want a name such as "gw1", as journal.gateway has it`))
	}
	if d.good("history") && h.Trouble < h.Detail {
		d.wrong("history.trouble", fmt.Sprintf("%s is shorter than detail, %s, which has what did not deliver as well", days(h.Trouble), days(h.Detail)), "want at least detail")
	}
	if d.good("history") && h.Counts < h.Trouble {
		d.wrong("history.counts", fmt.Sprintf("%s is shorter than trouble, %s", days(h.Counts), days(h.Trouble)), "want at least trouble")
	}
}

// validateDatabase judges where else history is kept. What passes a network has everybody's addresses, so whether it is encrypted has to be said.
func (d *decoder) validateDatabase(h *History) {
	const want = `want one such as "postgres://kanmon@db.example.jp/kanmon?sslmode=verify-full"`
	d.judge(absolute("history.database_password_file", h.DatabasePasswordFile))
	if h.Database == "" {
		if h.DatabasePasswordFile != "" {
			d.wrong("history.database_password_file", "there is no database that it is of", "add database, or remove it")
		}
		return
	}
	u, err := url.Parse(h.Database)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || strings.Trim(u.Path, "/") == "" {
		d.wrong("history.database", "it is no URL of a PostgreSQL database", want)
		return
	}
	asks := u.Query()
	if _, has := u.User.Password(); has || asks.Has("password") {
		d.wrong("history.database", "it has a password, and this file is read by more than may know it", "put it into a file, and name that in database_password_file")
		return
	}
	host := cmp.Or(u.Hostname(), asks.Get("host"))
	if host != "" && !filepath.IsAbs(host) && !loopback(host) && !asks.Has("sslmode") {
		d.wrong("history.database", "it does not say whether what passes the network is encrypted", want+", or sslmode=disable where the network itself is closed")
	}
}

// portOfMail reports whether mail comes in by a port.
func (d *decoder) portOfMail(cfg *Config, at netip.AddrPort) bool {
	return slices.ContainsFunc(cfg.Listeners(), func(mail netip.AddrPort) bool { return mail.Port() == at.Port() })
}

// days prints a duration that is mostly whole days.
func days(d time.Duration) string {
	if d%day == 0 && d > 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	return Short(d)
}

// inDays reads a number of whole days; ok is false where the text is something else.
func inDays(text string) (d time.Duration, ok bool) {
	digits, ok := strings.CutSuffix(text, "d")
	if !ok || digits == "" || len(digits) > 5 {
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		d = 10*d + day*time.Duration(c-'0')
	}
	return d, true
}
