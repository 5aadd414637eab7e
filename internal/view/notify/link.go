package notify

import (
	"net/url"
	"regexp"
	"strings"
)

// link is where the page shows what an event is about; "" without a page.
func (w *words) link(e *Event) string {
	if w.page == "" {
		return ""
	}
	d, query, at := &e.Data, url.Values{}, "/"
	switch group := group(e.Type); {
	case (group == "ip" || group == "warmup") && d.SendingIP.IsValid():
		at = "/ips/" + d.SendingIP.String()
	case group == "ip" || group == "pool" || group == "list":
		at = "/ips"
	case group == "provider" && d.Provider != "":
		at = "/providers/" + url.PathEscape(d.Provider)
	case d.Tenant != "" && d.Account != "" && group != "order" && !hidden(d.Account):
		at = "/tenants/" + url.PathEscape(d.Tenant) + "/a/" + url.PathEscape(d.Account)
	case d.Tenant != "" && group != "order" && group != "mail":
		at = "/tenants/" + url.PathEscape(d.Tenant)
	case group == "account" || group == "tenant" || group == "limit" || group == "spoofing":
		at = "/tenants"
	case group == "refusal":
		at = "/refusals"
	case group == "certificate" || group == "resolver" || e.Type == "gateway.disk_low" || e.Type == "gateway.disk_room":
		at = "/about"
	case group == "gateway":
		at = "/timeline"
	case group == "order":
		at = "/audit"
	case group == "mail" && d.Session != 0:
		at = "/find"
		query.Set("term", d.Session.String())
	}
	if len(query) > 0 {
		at += "?" + query.Encode()
	}
	return w.page + at
}

// hidden says whether the records hide whose account it is: the page knows it by its name alone.
func hidden(account string) bool {
	local, _, _ := strings.Cut(account, "@")
	return local == "*" || hashed.MatchString(local)
}

var hashed = regexp.MustCompile("^[0-9a-f]{12}$")
