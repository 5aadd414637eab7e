package view

import (
	"fmt"
	"testing"

	"kanmon/internal/admin"
	"kanmon/internal/config"
	"kanmon/internal/view/viewtest"
)

// Whether the resolver fails is asked of kanmon where policies need it, and of nobody else; that mail waits for it is said where they are enforced.
func TestKanmonIsAskedAboutTheResolver(t *testing.T) {
	k := viewtest.Start(t)
	parse := func(text string) *config.Config {
		t.Helper()
		cfg, err := config.Parse("kanmon.toml", []byte("hostname = 'gw1.example'\n[[sending_ip]]\naddress = '192.0.2.1'\nehlo = 'out1.example.jp'\n"+text+fmt.Sprintf("[admin]\nsocket = %q\n", k.Socket)))
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	if hostOf(parse("")).Resolver != nil {
		t.Error("without policies the resolver is asked about")
	}
	enforced := hostOf(parse("[tls_policy]\nmode = 'enforce'\nstore = 'off'\n")).Resolver
	if r, err := enforced(t.Context()); err != nil || r.Failing != "" || r.Gateway != "gw1.example" || !r.Waits {
		t.Errorf("%+v, %v", r, err)
	}
	k.Set(func(a *viewtest.Answers) {
		a.Status.Problems = []admin.Problem{{ID: "held", What: "something else"}, {ID: "resolver", What: "no DNS resolver answers"}}
	})
	observed := hostOf(parse("[tls_policy]\nstore = 'off'\n")).Resolver
	if r, err := observed(t.Context()); err != nil || r.Failing != "no DNS resolver answers" || r.Waits {
		t.Errorf("%+v, %v", r, err)
	}
}
