package check

import (
	"context"

	"kanmon/internal/config"
	"kanmon/internal/intercept"
)

// A Site is what is judged.
type Site struct {
	Config *config.Config
	Rules  intercept.Rules // that the configuration asks for
	Host   *Host

	Schemas map[string]int // of the parts of state ("standing", "policy"): the latest version that this kanmon reads
}

// Run makes all checks, the worst finding first. It ends early with ctx.
func Run(ctx context.Context, site Site) []Finding {
	findings := site.run(ctx, func(c *check) bool { return true })
	Sort(findings)
	return findings
}

// Start makes the checks that a start makes, and a reload.
func Start(ctx context.Context, site Site) []Finding {
	return site.run(ctx, func(c *check) bool { return c.atStart })
}

// A check looks for some kinds of findings.
type check struct {
	atStart bool // needs neither another program nor the kernel's tables, and so is made at a start, too
	run     func(*checker)
}

var checks = []check{
	{true, (*checker).files},
	{true, (*checker).versions},
	{true, (*checker).addresses},
	{true, (*checker).listeners},
	{true, (*checker).metrics},
	{true, (*checker).user},
	{true, (*checker).programs},
	{true, (*checker).privileges},
	{true, (*checker).pools},
	{true, (*checker).warmUps},
	{true, (*checker).routes},
	{true, (*checker).providers},
	{true, (*checker).scope},
	{true, (*checker).tenants},
	{true, (*checker).nobodys},
	{true, (*checker).descriptors},
	{true, (*checker).kernel},
	{true, (*checker).tproxy},
	{true, (*checker).journal},
	{true, (*checker).memory},
	{true, (*checker).drain},
	{true, (*checker).roots},
	{false, (*checker).tlsPolicy},
	{false, (*checker).history},
	{false, (*checker).notify},
	{false, (*checker).page},
	{false, (*checker).shaping},
	{false, (*checker).whole},
	{false, (*checker).reach},
	{false, (*checker).families},
	{false, (*checker).sendingRoutes},
	{false, (*checker).reversePaths},
	{false, (*checker).bridges},
	{false, (*checker).conntrack},
	{false, (*checker).firewall},
	{false, (*checker).policyRoutes},
}

func (s Site) run(ctx context.Context, wanted func(*check) bool) []Finding {
	c := &checker{Site: s, ctx: ctx}
	if c.Host == nil {
		c.Host = &Host{}
	}
	c.look()
	for i := range checks {
		if ctx.Err() != nil {
			break
		}
		if wanted(&checks[i]) {
			checks[i].run(c)
		}
	}
	return c.findings
}

// A checker collects findings.
type checker struct {
	Site
	ctx      context.Context
	links    []Interface
	service  *Service // nil: none is known
	findings []Finding

	unguarded bool // kanmon's table is not in the kernel: that says it all
}

// look asks the host for what several checks need.
func (c *checker) look() {
	var err error
	if c.links, err = c.Host.interfaces(); err != nil {
		c.unchecked("addresses and interfaces", "this host does not tell them: "+err.Error())
	}
	if c.Host.Service == nil {
		return
	}
	if c.service, err = c.Host.Service(c.ctx); err != nil {
		c.unchecked("the service", err.Error())
	}
}

// find notes a finding at a key of the configuration. Without a cure of its own it has that of its kind.
func (c *checker) find(k *Kind, key, what, cure string) { c.findAt(k, c.Config.Where(key), what, cure) }

// findAt notes a finding at a place that is no key.
func (c *checker) findAt(k *Kind, where, what, cure string) {
	if cure == "" {
		cure = k.Cure
	}
	c.findings = append(c.findings, Finding{k, where, what, cure})
}

// unchecked says that something could not be checked, and why.
func (c *checker) unchecked(what, because string) {
	c.findAt(notChecked, what, "not checked, because "+because, "")
}

// said reports whether the file sets a key: what a person has switched off is no surprise.
func (c *checker) said(key string) bool { return c.Config.Line(key) > 0 }
