package tally

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"kanmon/internal/event"
)

// News is a line of news as people say it.
type News struct {
	At      time.Time `json:"at"`
	Gateway string    `json:"gateway"`
	Who     string    `json:"who"`  // kanmon, the person that ordered it, or the limit
	What    string    `json:"what"` // one sentence; what strangers wrote may be a part of it
	Session event.ID  `json:"session,omitzero"`

	// Whom it concerns, as far as it is somebody.
	SendingIP netip.Addr `json:"sending_ip,omitzero"`
	Provider  string     `json:"provider,omitempty"`
	Tenant    string     `json:"tenant,omitempty"`
	Account   string     `json:"account,omitempty"`
}

// NewsOf says what a line of news tells.
func NewsOf(e *event.Entry) News {
	d := News{
		At: e.At, Gateway: e.Gateway, Who: "kanmon", Session: e.Session,
		SendingIP: e.SendingIP, Provider: e.Provider, Tenant: e.Tenant, Account: e.Account,
	}
	switch e.Type {
	case "order":
		d.Who, d.What = cmp.Or(e.By, d.Who), ordered(e)
	case "changed":
		d.What = changed(e)
	case "finding":
		d.What = found(e)
	case "sighting":
		d.What = seen(e)
	case "gateway":
		d.What = stepped(e)
	case "dropped":
		d.What = fmt.Sprintf("%s lost: the record does not have all of this time", counted(int64(e.Records), "record was", "records were"))
	default:
		d.What = e.Type + " " + e.Action
	}
	return d
}

// AllNews says it of several.
func AllNews(entries []event.Entry) []News {
	list := make([]News, len(entries))
	for i := range entries {
		list[i] = NewsOf(&entries[i])
	}
	return list
}

// ofWhom names a sending IP and where, or a sender.
func ofWhom(e *event.Entry) string {
	switch {
	case e.SendingIP.IsValid() && e.Provider != "":
		return fmt.Sprintf("%s at %s", e.SendingIP, e.Provider)
	case e.SendingIP.IsValid():
		return fmt.Sprintf("%s everywhere", e.SendingIP)
	case e.Account != "":
		return fmt.Sprintf("account %s of %s", e.Account, e.Tenant)
	case e.Tenant != "":
		return "tenant " + e.Tenant
	case e.Provider != "":
		return e.Provider
	}
	return "everything"
}

// because adds a reason.
func because(what, cause string) string {
	if cause == "" {
		return what
	}
	return what + ": " + cause
}

func ordered(e *event.Entry) string {
	what := strings.ReplaceAll(e.Action, "_", " ") + " " + ofWhom(e)
	if e.Before != "" || e.After != "" {
		what += fmt.Sprintf(" (%s → %s)", cmp.Or(e.Before, "nothing"), cmp.Or(e.After, "nothing"))
	}
	if e.Unkept {
		what += ", which could not be saved: a restart may lose it"
	}
	return because(what, e.Cause)
}

func changed(e *event.Entry) string {
	is := "is"
	if e.Would {
		is = "would be"
	}
	what := fmt.Sprintf("%s %s %s", ofWhom(e), is, e.State)
	if e.Was != "" {
		what += ", was " + e.Was
	}
	if e.Share > 0 && e.Share < 1 {
		what += fmt.Sprintf(", with %.0f %% of its mail", 100*e.Share)
	}
	if !e.Until.IsZero() {
		what += ", until " + e.Until.UTC().Format("2006-01-02 15:04 UTC")
	}
	if e.Rule != "" {
		what += fmt.Sprintf(" (%s)", e.Rule)
	}
	return because(what, e.Cause)
}

// found says what the times of mail tell.
func found(e *event.Entry) string {
	ip := "all sending IPs"
	if e.SendingIP.IsValid() {
		ip = e.SendingIP.String()
	}
	who := cmp.Or(e.Provider, "more than one provider")
	if e.Action == "cleared" {
		return fmt.Sprintf("%s answers %s as usual again (%s)", who, ip, e.Phase)
	}
	what := fmt.Sprintf("%s is slow to answer %s", who, ip)
	switch e.Phase {
	case "refused":
		what = fmt.Sprintf("%s refuses connections of %s", who, ip)
	case "drip":
		what = fmt.Sprintf("%s answers %s octet by octet", who, ip)
	}
	var figures []string
	for _, took := range []struct {
		who string
		d   event.Milliseconds
	}{{e.Phase + " takes", e.Here}, {"other IPs", e.Others}, {"before", e.BeforeIt}} {
		if took.d > 0 {
			figures = append(figures, fmt.Sprintf("%s %.3g s", took.who, took.d.Duration().Seconds()))
		}
	}
	if figures == nil {
		figures = append(figures, e.Phase)
	}
	what = because(what, strings.Join(figures, ", "))
	if e.Host+e.Tenant != "" {
		what += fmt.Sprintf("; only %s", cmp.Or(e.Host, e.Tenant))
	}
	return what + "; " + acts[e.Acted]
}

// acts are what follows of a finding.
var acts = map[string]string{
	"":       "nothing follows of it",
	"told":   "it is only told",
	"split":  "half of its new sessions leave from other IPs, to compare with",
	"slowed": "the IP keeps half of its new sessions there",
	"moved":  "the IP keeps 1 in 20 of its new sessions there",
}

// sights are how a sending IP, or a list, is seen.
var sights = map[string]string{
	"unknown":           "nothing is known any more of %s",
	"clear":             "%s is not listed",
	"listed":            "%s is listed",
	"named":             "the names of %s agree",
	"no_ptr":            "%s has no PTR",
	"ptr_elsewhere":     "no name of the PTR of %s leads back to it",
	"other_name":        "the PTR of %s has other names than kanmon says in EHLO",
	"ehlo_not_resolved": "the EHLO name of %s does not lead to it",
	"believed":          "%s answers as lists do",
	"not_believed":      "%s cannot be believed",
}

// seen says how others see a sending IP.
func seen(e *event.Entry) string {
	whom := e.List
	if e.SendingIP.IsValid() {
		whom = e.SendingIP.String()
	}
	form := sights[e.State]
	if form == "" {
		form = "%s: " + e.State
	}
	what := fmt.Sprintf(form, whom)
	if e.SendingIP.IsValid() && e.List != "" {
		what += " at " + e.List
	}
	return because(what, e.Cause)
}

func stepped(e *event.Entry) string {
	switch e.Action {
	case "start":
		what := fmt.Sprintf("%s started, kanmon %s with %s", e.Gateway, e.Version, counted(int64(e.SendingIPs), "sending IP", "sending IPs"))
		if e.Unclean {
			what += "; the run before was killed"
		}
		return what
	case "reload":
		return e.Gateway + " read its configuration anew"
	case "reload_refused":
		return because(e.Gateway+" refused a new configuration and goes on with the one before", e.Cause)
	case "drain":
		return fmt.Sprintf("%s takes no new sessions: %s under way", e.Gateway, counted(int64(e.Sessions), "is", "are"))
	case "stop":
		return e.Gateway + " stopped"
	case "rules":
		return because(e.Gateway+": the firewall rules have changed", e.Rules)
	case "leave":
		return e.Gateway + " writes its records elsewhere from here on"
	}
	return e.Gateway + " " + e.Action
}

// counted is a number with its noun.
func counted(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
