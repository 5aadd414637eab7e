package config

import (
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Notify says in which language, and when, people are told of what has happened. Whom, the channels say.
type Notify struct {
	Language Language  `toml:"language"`
	Zone     string    `toml:"zone"`   // IANA name of the time zone; "": the host's
	Digest   TimeOfDay `toml:"digest"` // in the zone; NoDigest: none
	PageURL  string    `toml:"page_url"`
}

// A NotifyWebhook is a URL that is told.
type NotifyWebhook struct {
	Name       string        `toml:"name"`
	URL        string        `toml:"url"`
	Format     WebhookFormat `toml:"format"`
	SecretFile string        `toml:"secret_file"` // with one secret, or while it is changed with two
	Events     Names         `toml:"events"`      // none: all
}

// A NotifyMail is who is told by mail, and by which way.
type NotifyMail struct {
	Name         string  `toml:"name"`
	To           Names   `toml:"to"`
	From         string  `toml:"from"`
	Smarthost    string  `toml:"smarthost"` // host and port; "": Sendmail
	TLS          MailTLS `toml:"tls"`
	User         string  `toml:"user"`
	PasswordFile string  `toml:"password_file"`
	Sendmail     string  `toml:"sendmail"` // path of a program
	Events       Names   `toml:"events"`   // none: all
}

// Language is the language of texts for people.
type Language string

// The languages.
const (
	English  Language = "en"
	Japanese Language = "ja"
)

// Words returns the languages.
func (Language) Words() []string { return words(English, Japanese) }

// WebhookFormat is the form of what a webhook is sent.
type WebhookFormat string

// FormatStandard is the form of Standard Webhooks 1.0; FormatSlack is a text, as Slack and Mattermost take it.
const (
	FormatStandard WebhookFormat = "standard"
	FormatSlack    WebhookFormat = "slack"
)

// Words returns the forms.
func (WebhookFormat) Words() []string { return words(FormatStandard, FormatSlack) }

// MailTLS says how the connection to a smarthost is encrypted.
type MailTLS string

// MailTLSByPort is implicit TLS with port 465, else STARTTLS, which the smarthost must offer.
const (
	MailTLSByPort   MailTLS = "by_port"
	MailTLSImplicit MailTLS = "implicit"
	MailTLSStart    MailTLS = "starttls"
	MailTLSNone     MailTLS = "none"
)

// Words returns what there is to choose from.
func (MailTLS) Words() []string {
	return words(MailTLSByPort, MailTLSImplicit, MailTLSStart, MailTLSNone)
}

// A TimeOfDay is an hour and a minute.
type TimeOfDay string

// NoDigest stands for no time.
const NoDigest TimeOfDay = Off

// On gives the moment of a day that has this time, in the day's own zone.
func (t TimeOfDay) On(day time.Time) time.Time {
	at, _ := time.Parse(timeOfDay, string(t)) // it was judged when it was read
	return time.Date(day.Year(), day.Month(), day.Day(), at.Hour(), at.Minute(), 0, 0, day.Location())
}

const timeOfDay = "15:04"

// A NotifyEvent is what people are told of.
type NotifyEvent string

// NotifyEvents are all events, in the order in which docs/howto/notify.md has them.
var NotifyEvents = []NotifyEvent{
	"ip.suspended", "ip.recovered", "ip.listed", "ip.delisted", "ip.probe_failing", "ip.probe_passed", "ip.names_wrong", "ip.names_right",
	"list.not_believed", "list.believed",
	"pool.exhausted", "pool.usable",
	"provider.slow", "provider.deferring", "provider.normal",
	"account.contained", "account.would_be_contained", "account.released", "tenant.contained", "tenant.would_be_contained", "tenant.released",
	"limit.near", "limit.far", "limit.blocked", "limit.released",
	"refusal.new_kind", "spoofing.first", "mail.ambiguous", "order.done", "warmup.stage",
	"gateway.started", "gateway.reloaded", "gateway.reload_refused", "gateway.draining", "gateway.rules_lost", "gateway.rules_in_force", "gateway.silent", "gateway.heard", "gateway.records_dropped",
	"gateway.disk_low", "gateway.disk_room", "certificate.ending", "certificate.renewed", "resolver.failing", "resolver.well",
	"digest",
}

// Wants reports whether a channel with such a list is told of an event.
func Wants(events Names, e NotifyEvent) bool {
	return len(events) == 0 || slices.ContainsFunc(events, func(pattern string) bool {
		found, _ := path.Match(pattern, string(e))
		return found
	})
}

// Location gives the zone that times of day are of.
func (n *Notify) Location() *time.Location {
	if zone, err := time.LoadLocation(n.Zone); n.Zone != "" && err == nil {
		return zone
	}
	return time.Local
}

// Notifies reports whether anybody is told of anything.
func (c *Config) Notifies() bool { return len(c.NotifyWebhooks)+len(c.NotifyMails) > 0 }

func (d *decoder) completeNotify(cfg *Config) {
	for i := range cfg.NotifyWebhooks {
		if !d.has(fmt.Sprintf("notify_webhook[%d].format", i)) {
			cfg.NotifyWebhooks[i].Format = FormatStandard
		}
	}
	for i := range cfg.NotifyMails {
		if !d.has(fmt.Sprintf("notify_mail[%d].tls", i)) {
			cfg.NotifyMails[i].TLS = MailTLSByPort
		}
	}
}

func (d *decoder) validateNotify(cfg *Config) {
	n := &cfg.Notify
	_, zoneErr := time.LoadLocation(n.Zone)
	d.judge(
		rule{"notify.zone", n.Zone, zoneErr == nil && n.Zone != "" && n.Zone != "Local", "%q is no time zone", `want a name such as "Asia/Tokyo" or "UTC"`},
		rule{"notify.digest", string(n.Digest), n.Digest == NoDigest || isTimeOfDay(n.Digest), "%q is no time of day", `want hours and minutes such as "08:00", or "off"`},
		sound("notify.page_url", n.PageURL, checkHTTP(n.PageURL), "is not the address of a page", `want what people type, such as "https://kanmon.example.jp"`),
	)
	names := map[string]string{}
	for i := range cfg.NotifyWebhooks {
		d.validateWebhook(fmt.Sprintf("notify_webhook[%d]", i), &cfg.NotifyWebhooks[i], names)
	}
	for i := range cfg.NotifyMails {
		d.validateNotifyMail(fmt.Sprintf("notify_mail[%d]", i), &cfg.NotifyMails[i], names, cfg.Intercept.Local)
	}
	for _, key := range [...]string{"notify.language", "notify.zone", "notify.digest", "notify.page_url"} {
		if d.has(key) && !cfg.Notifies() && d.good("notify") && d.good("notify_webhook") && d.good("notify_mail") {
			d.wrong(key, "there is nobody who is told", "add [[notify_mail]] or [[notify_webhook]], or remove [notify]")
			break
		}
	}
}

func isTimeOfDay(t TimeOfDay) bool {
	_, err := time.Parse(timeOfDay, string(t))
	return err == nil && len(t) == len(timeOfDay)
}

// nameChannel judges the name of a channel, by which metrics, logs and commands know it.
func (d *decoder) nameChannel(key, name string, names map[string]string) {
	key += ".name"
	d.must(key, `name = "oncall", by which logs and metrics know the channel`)
	d.judge(sound(key, name, checkLabel(name), "is no name of a channel", `want letters, digits and hyphens, such as "oncall"`))
	if first, twice := names[name]; twice && d.good(key) {
		d.wrong(key, fmt.Sprintf("%q is a channel already, in line %d", name, d.line(first)), "want another name")
	} else if d.has(key) {
		names[name] = key
	}
}

func (d *decoder) validateWebhook(key string, w *NotifyWebhook, names map[string]string) {
	if d.failedItself(key) {
		return
	}
	d.nameChannel(key, w.Name, names)
	d.must(key+".url", `url = "https://panel.example.jp/hooks/kanmon"`)
	d.judge(
		sound(key+".url", w.URL, checkWebhookURL(w.URL), "is not where a webhook can be sent", `want "https://…", or "http://…" with a loopback or private address`),
		absolute(key+".secret_file", w.SecretFile),
	)
	if w.Format != FormatSlack && !d.has(key+".secret_file") && d.good(key+".format") {
		d.wrong(key, "without a secret its receiver cannot tell who has written", `add secret_file = "/etc/kanmon/webhook.secret", or format = "slack" for what checks none`)
	}
	d.validateEvents(key+".events", w.Events)
}

// checkHTTP says why a text is no address of the web, or nil.
func checkHTTP(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return fmt.Errorf("it cannot be read")
	case u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("it does not begin with https:// or http://")
	case u.Hostname() == "":
		return fmt.Errorf("it names no host")
	case u.User != nil:
		return fmt.Errorf("it has a password in it, which logs would show")
	case u.Fragment != "":
		return fmt.Errorf("it has a part behind #, which is not sent")
	}
	return nil
}

// checkWebhookURL wants more: what is sent there names people, and must not cross strangers' networks in clear text.
func checkWebhookURL(text string) error {
	if err := checkHTTP(text); err != nil {
		return err
	}
	u, _ := url.Parse(text)
	if u.Scheme == "https" || u.Hostname() == "localhost" {
		return nil
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil && (addr.IsLoopback() || addr.IsPrivate()) {
		return nil
	}
	return fmt.Errorf("it is not encrypted")
}

func (d *decoder) validateEvents(key string, events Names) {
	d.judge(filled(key, events, "empty: the channel is told nothing", `want names such as ["ip.*", "digest"], or leave the key out for all`))
	for i, pattern := range events {
		known := make([]string, len(NotifyEvents))
		for j, e := range NotifyEvents {
			known[j] = string(e)
		}
		if slices.ContainsFunc(NotifyEvents, func(e NotifyEvent) bool { return Wants(Names{pattern}, e) }) {
			continue
		}
		want := "want a name of docs/howto/notify.md, or one with * such as \"ip.*\""
		if near := nearest(pattern, known); near != "" {
			want = fmt.Sprintf("did you mean %q?", near)
		}
		item := fmt.Sprintf("%s[%d]", key, i)
		if !d.has(item) { // a single one without brackets
			item = key
		}
		d.wrong(item, fmt.Sprintf("there is no event %q", pattern), want)
	}
}

func (d *decoder) validateNotifyMail(key string, m *NotifyMail, names map[string]string, local bool) {
	if d.failedItself(key) {
		return
	}
	d.nameChannel(key, m.Name, names)
	d.must(key+".to", `to = ["oncall@example.jp"]`)
	d.must(key+".from", `from = "kanmon@example.jp"`)
	d.judge(
		filled(key+".to", m.To, "empty: nobody gets the mail", `want addresses such as ["oncall@example.jp"]`),
		sound(key+".from", m.From, checkAddress(m.From), "is not an address", `want one such as "kanmon@example.jp"`),
		absolute(key+".password_file", m.PasswordFile), absolute(key+".sendmail", m.Sendmail),
	)
	for i, to := range m.To {
		item := fmt.Sprintf("%s.to[%d]", key, i)
		if !d.has(item) {
			item = key + ".to"
		}
		d.judge(sound(item, to, checkAddress(to), "is not an address", `want one such as "oncall@example.jp"`))
	}
	d.validateEvents(key+".events", m.Events)
	d.validateMailWay(key, m, local)
}

// validateMailWay judges how mail leaves. A message about mail that waits must not wait with it.
func (d *decoder) validateMailWay(key string, m *NotifyMail, local bool) {
	const ways = `smarthost = "smtp.example.jp:465", or sendmail = "/usr/sbin/sendmail"`
	switch byHost, byProgram := d.has(key+".smarthost"), d.has(key+".sendmail"); {
	case byHost && byProgram:
		d.wrong(key+".sendmail", "the mail leaves by smarthost already", "keep one of the two")
	case !byHost && !byProgram:
		d.wrong(key, "nothing says how the mail leaves", "add "+ways)
	case byProgram:
		for _, of := range [...]string{"tls", "user", "password_file"} {
			if d.has(key + "." + of) {
				d.wrong(key+"."+of, "it is about a smarthost, and the mail leaves by sendmail", "remove it")
			}
		}
	}
	host, port, err := splitSmarthost(m.Smarthost)
	d.judge(
		sound(key+".smarthost", m.Smarthost, err, "is not a host with a port", `want one such as "smtp.example.jp:465" or "smtp.example.jp:587"`),
		rule{
			key + ".smarthost", m.Smarthost, err != nil || port != 25 || !local,
			"%q: with intercept.local kanmon's own rules lead what this host sends to port 25 into kanmon, so a message about mail that waits would wait with it",
			`want port 465 or 587, where kanmon is not in the way, or sendmail = "/usr/sbin/sendmail" of a mail server that uses such a port`,
		},
		rule{
			key + ".tls", nil, m.TLS != MailTLSNone || loopback(host) || m.User == "", "the password would cross the network in clear text",
			`want "starttls" or "implicit"`,
		},
	)
	if (m.User == "") != (m.PasswordFile == "") && d.good(key) {
		has, lacks := "user", "password_file"
		if m.User == "" {
			has, lacks = lacks, has
		}
		d.wrong(key+"."+has, lacks+" is missing", "give both, or none")
	}
}

func splitSmarthost(text string) (host string, port uint64, err error) {
	host, number, err := net.SplitHostPort(text)
	if err != nil {
		return "", 0, fmt.Errorf("it has no port")
	}
	if _, isAddr := netip.ParseAddr(host); isAddr != nil {
		if err := checkHostname(host); err != nil {
			return "", 0, err
		}
	}
	if port, err = strconv.ParseUint(number, 10, 16); err != nil || port == 0 {
		return "", 0, fmt.Errorf("its port is not one of 1 to 65535")
	}
	return host, port, nil
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// checkAddress says why a text is not an address alone, without a name, or nil.
func checkAddress(text string) error {
	a, err := mail.ParseAddress(text)
	switch {
	case err != nil:
		return fmt.Errorf("it cannot be read")
	case a.Address != text || strings.ContainsAny(text, "\r\n"):
		return fmt.Errorf("it is more than an address")
	}
	return nil
}
