package config

import (
	"fmt"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"time"
)

// Web says where people see kanmon in a browser, and what they may there. It is of "kanmon web" and "kanmon view"; of a running kanmon alone
// User and May: it takes the names of persons from that user, and no more than they may.
type Web struct {
	Listen       string             `toml:"listen"`      // an address and a port, or "unix:" and a path
	TLS          bool               `toml:"tls"`         // browsers speak TLS with it
	Certificate  string             `toml:"certificate"` // path; "": one is made
	Key          string             `toml:"key"`
	Users        string             `toml:"users"`         // path of the file of those who may log in
	Directory    string             `toml:"directory"`     // for what it keeps: notes, a certificate that it has made
	May          WebRole            `toml:"may"`           // at most, whoever it is
	User         string             `toml:"user"`          // of the host: whose processes speak for persons
	UserHeader   string             `toml:"user_header"`   // in which a proxy says who it is; "": people log in
	GroupsHeader string             `toml:"groups_header"` // in which it says of which groups
	Roles        map[string]WebRole `toml:"roles"`         // of groups
	ProxyUser    string             `toml:"proxy_user"`    // of the host: whose processes are believed
	Idle         time.Duration      `toml:"idle"`          // after which a login ends
	Longest      time.Duration      `toml:"longest"`       // that one lasts
}

// WebRole is what a person may.
type WebRole string

// The roles: each may what the one before it may.
const (
	WebLook   WebRole = "look"
	WebSearch WebRole = "search"
	WebAct    WebRole = "act"
)

// Words returns what there is to choose from.
func (WebRole) Words() []string { return words(WebLook, WebSearch, WebAct) }

// Where the page is, and what it keeps, as kanmon-view.service is shipped.
const (
	DefaultWebListen = "127.0.0.1:8460"
	defaultWebUsers  = "/etc/kanmon/web-users"
)

func defaultWeb() Web {
	return Web{
		Listen: DefaultWebListen, Users: defaultWebUsers, Directory: ViewState, May: WebAct, User: ViewUser,
		Idle: time.Hour, Longest: 12 * time.Hour,
	}
}

// UnixSocket gives the path of the socket that the page is at; "": it is at an address.
func (w *Web) UnixSocket() string {
	path, is := strings.CutPrefix(w.Listen, "unix:")
	if !is {
		return ""
	}
	return path
}

// Address gives the address that the page is at; the zero AddrPort: it is at a socket.
func (w *Web) Address() netip.AddrPort {
	at, _ := netip.ParseAddrPort(w.Listen) // it was looked at when the file was read
	return at
}

func (d *decoder) validateWeb(cfg *Config) {
	w := &cfg.Web
	d.validateWebListen(cfg)
	if w.Certificate != "" && w.Key == "" {
		d.wrong("web.certificate", "certificate is set, but key is missing", `add key = "/path/to/key.pem"`)
	}
	if w.Key != "" && w.Certificate == "" {
		d.wrong("web.key", "a key without its certificate", `add certificate = "/path/to/chain.pem"`)
	}
	d.judge(
		rule{"web.certificate", nil, w.TLS, "it is for TLS, and there is none", "add tls = true"},
		absolute("web.certificate", w.Certificate), absolute("web.key", w.Key),
		rule{"web.user", nil, w.User != "", "empty", `want a user of this host, such as "kanmon-view", under which kanmon-view.service runs`},
		lasting("web.idle", w.Idle, time.Minute, 7*24*time.Hour), lasting("web.longest", w.Longest, time.Minute, 30*24*time.Hour),
	)
	d.validatePaths(map[string]string{"web.users": w.Users, "web.directory": w.Directory})
	if w.Longest < w.Idle && d.good("web") {
		d.wrong("web.longest", fmt.Sprintf("%s is less than idle, %s", Short(w.Longest), Short(w.Idle)), "want at least that")
	}
	d.validateWebProxy(w)
}

func (d *decoder) validateWebListen(cfg *Config) {
	const key, want = "web.listen", `want an address and a port such as "127.0.0.1:8460", or "unix:/run/kanmon-view/web.sock"`
	w := &cfg.Web
	if !d.good(key) {
		return
	}
	if path := w.UnixSocket(); strings.HasPrefix(w.Listen, "unix:") {
		d.judge(
			rule{key, w.Listen, filepath.IsAbs(path), "%q has no absolute path", want},
			rule{"web.tls", nil, !w.TLS, "a proxy speaks TLS with browsers, not this socket", "remove tls"},
		)
		return
	}
	at, err := netip.ParseAddrPort(w.Listen)
	if err != nil || at.Port() == 0 {
		d.judge(rule{key, w.Listen, false, "%q is neither an address with a port nor a socket", want})
		return
	}
	for _, mail := range cfg.Listeners() {
		if mail.Port() == at.Port() {
			d.wrong(key, fmt.Sprintf("%v: mail comes in by this port", at), `want one of its own, such as "127.0.0.1:8460"`)
			return
		}
	}
	if !at.Addr().IsLoopback() && !w.TLS {
		d.wrong(key, fmt.Sprintf("%v can be reached from elsewhere, and passwords would go there in the clear", at),
			`add tls = true, or listen on "127.0.0.1:8460" and come by ssh -L 8460:127.0.0.1:8460`)
	}
}

// validateWebProxy: whoever may write the header is whoever he says, so it is believed only where the kernel says who writes.
func (d *decoder) validateWebProxy(w *Web) {
	header := func(key, name string) rule {
		canonical := http.CanonicalHeaderKey(name)
		form := name == "" || !strings.ContainsAny(name, " \t:\r\n_") && canonical != "Host" && canonical != "Cookie"
		return rule{key, name, form, "%q is no header that a proxy sets", `want a name such as "X-Remote-User"`}
	}
	d.judge(header("web.user_header", w.UserHeader), header("web.groups_header", w.GroupsHeader))
	if w.UserHeader != "" && d.good("web") {
		if w.UnixSocket() == "" {
			d.wrong("web.user_header", "whoever reaches "+w.Listen+" could say that he is anybody", `add listen = "unix:/run/kanmon-view/web.sock"`)
		}
		if w.ProxyUser == "" {
			d.wrong("web.user_header", "proxy_user is missing: who else opens the socket could say that he is anybody", `add proxy_user = "www-data", under which the proxy runs`)
		}
	}
	for _, key := range []string{"web.groups_header", "web.proxy_user"} {
		if w.UserHeader == "" && d.has(key) && d.good(key) {
			d.wrong(key, "it is about a proxy, and none says who it is", `add user_header = "X-Remote-User"`)
		}
	}
	if d.has("web.roles") && w.GroupsHeader == "" && d.good("web.roles") {
		d.wrong("web.roles", "they are of groups, and nobody says of which groups people are", `add groups_header = "X-Remote-Groups"`)
	}
	if w.GroupsHeader != "" && len(w.Roles) == 0 && d.good("web") {
		d.wrong("web.groups_header", "no group has a role", `add roles = { ops = "act", helpdesk = "search" }`)
	}
}
