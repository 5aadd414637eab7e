package web

// An example is with what a route can be asked for: where its path has {names}, or its query, or form, must say something.
type example struct {
	path string   // in place of that of the route
	form []string // names and values
}

var examples = map[string]example{
	"POST /login":                   {form: []string{"name", "act", "password", password}},
	"GET /providers/{provider}":     {path: "/providers/docomo"},
	"GET /mails/{mail}":             {path: "/mails/0000000000000001"},
	"GET /tenants/{tenant}/history": {path: "/tenants/acme/history"},
	"POST /find":                    {form: []string{"term", "bob@receiver.example"}},
	"POST /find.csv":                {form: []string{"term", "bob@receiver.example"}},
}
