package web

import "kanmon/internal/view/viewtest"

// An example is with what a route can be asked for: where its path has {names}, or its query, or form, must say something.
type example struct {
	path string   // in place of that of the route
	form []string // names and values
}

var examples = map[string]example{
	"POST /login":                             {form: []string{"name", "act", "password", password}},
	"GET /providers/{provider}":               {path: "/providers/docomo"},
	"GET /ips/{ip}/history":                   {path: "/ips/203.0.113.11/history"},
	"GET /mails/{mail}":                       {path: "/mails/0000000000000001"},
	"GET /tenants/{tenant}/history":           {path: "/tenants/acme/history"},
	"POST /find":                              {form: []string{"term", "bob@receiver.example"}},
	"POST /find.csv":                          {form: []string{"term", "bob@receiver.example"}},
	"GET /sessions/{session}":                 {path: "/sessions/" + held64},
	"POST /sessions/{session}/end":            {path: "/sessions/" + held64 + "/end", form: []string{"reason", "x"}},
	"POST /try":                               {form: []string{"to", "192.0.2.25"}},
	"GET /tries/{try}":                        {path: "/tries/" + viewtest.Tried},
	"GET /sessions/{session}/trace":           {path: "/sessions/" + held64 + "/trace"},
	"GET /ips/{ip}":                           {path: "/ips/192.0.2.1"},
	"POST /ips/{ip}/suspend":                  {path: "/ips/192.0.2.1/suspend", form: []string{"provider", "docomo", "for", "2h", "reason", "x"}},
	"POST /ips/{ip}/resume":                   {path: "/ips/192.0.2.1/resume", form: []string{"provider", "docomo", "reason", "x"}},
	"GET /tenants/{tenant}":                   {path: "/tenants/acme"},
	"POST /tenants/{tenant}/{do}":             {path: "/tenants/acme/block", form: []string{"reason", "x", "for", "2h"}},
	"GET /tenants/{tenant}/a/{account}":       {path: "/tenants/acme/a/bob@acme.example"},
	"POST /tenants/{tenant}/a/{account}/{do}": {path: "/tenants/acme/a/bob@acme.example/exempt", form: []string{"reason", "x", "for", "24h"}},
	"POST /notes":                             {form: []string{"alarm", "records", "text", "x", "for", "2h"}},
	"POST /notes/{id}/end":                    {path: "/notes/1/end"},
}
