package notify

import "net/url"

// link is where the page shows what an event is about; "" without a page.
func (w *words) link(e *Event) string {
	if w.page == "" {
		return ""
	}
	d, query, at := &e.Data, url.Values{}, "/"
	switch group := group(e.Type); {
	case group == "ip" || group == "warmup" || group == "pool":
		at = "/ips"
	case group == "provider" && d.Provider != "":
		at = "/providers/" + url.PathEscape(d.Provider)
	case group == "account" || group == "tenant" || group == "limit" || group == "spoofing":
		at = "/tenants"
	case group == "refusal":
		at = "/refusals"
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
