package config

import (
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"strings"

	"kanmon/internal/outlet/provider"
	"kanmon/internal/who/mailbox"
)

// Provider is a group of destinations run by one operator. docs/why/routing.md describes the file.
type Provider struct {
	Name    string `toml:"name"`
	Domains Names  `toml:"domains"` // recipient domains that are its own
	MX      Names  `toml:"mx"`      // names of its MXs, "*.example.jp" for all below example.jp
	Source  string `toml:"source"`  // where this is known from

	Takes []KnownTake `toml:"takes"` // from one sending IP

	provider.Settings
}

// A providersFile is a file of providers.
type providersFile struct {
	Providers []Provider `toml:"provider"`
}

//go:embed providers.toml
var defaultProviders []byte

// Providers returns all providers: kanmon's own, in place of which, by name, those of providers_file stand, and then the
// others of that file. A name of an MX that two of them claim is the later one's.
func (c *Config) Providers() (list []provider.Provider) {
	for i := range c.providers {
		p := &c.providers[i]
		list = append(list, provider.Provider{Name: p.Name, Domains: p.Domains, MX: p.MX, Settings: p.Settings})
	}
	return list
}

// loadProviders fills cfg.providers. The errors are those inside the operator's file.
func (d *decoder) loadProviders(cfg *Config) Errors {
	const key = "providers_file"
	cfg.providers, _ = parseProviders("providers.toml", defaultProviders) // a test reads it
	path := cfg.ProvidersFile
	if path == "" {
		return nil
	}
	d.judge(absolute(key, path))
	if !strings.HasPrefix(path, "/") {
		d.failed = append(d.failed, key)
		return nil
	}
	doc, err := readSmall(path)
	if err != nil {
		d.failed = append(d.failed, key)
		d.wrong(key, CauseOf(err, path), "want a file with [[provider]] tables")
		return nil
	}
	own, errs := parseProviders(path, doc)
	if len(errs) > 0 {
		d.failed = append(d.failed, key)
		return errs
	}
	cfg.providers, cfg.ownProviders = mergeProviders(cfg.providers, own), len(own)
	return nil
}

// readSmall reads a regular file: a wrong path may name a device that never ends.
func readSmall(path string) ([]byte, error) {
	const most = 4 << 20
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("not a file")
	case info.Size() > most:
		return nil, fmt.Errorf("%d octets, more than %d", info.Size(), most)
	}
	return os.ReadFile(path)
}

// parseProviders reads a file of providers as strictly as the configuration.
func parseProviders(name string, doc []byte) ([]Provider, Errors) {
	root, syntax := parseTree(name, doc)
	if syntax != nil {
		return nil, Errors{syntax}
	}
	var file providersFile
	d := &decoder{file: name, doc: doc, places: map[string]span{}}
	d.decodeInto(root, &file)
	names, claimed := map[string]string{}, map[string]string{}
	for i, p := range file.Providers {
		d.validateProvider(fmt.Sprintf("provider[%d]", i), p, names, claimed)
	}
	return file.Providers, d.errs.sorted()
}

func (d *decoder) validateProvider(key string, p Provider, names, claimed map[string]string) {
	if d.failedItself(key) {
		return
	}
	d.validateName(key+".name", p.Name, "provider", "docomo", names)
	if !d.has(key+".mx") && !d.has(key+".domains") {
		d.wrong(key+".mx", "missing: nothing would belong to the provider", `add mx = ["*.example.jp"], the names of its MXs`)
	}
	d.validateCodes(key+".block_codes", p.BlockCodes)
	d.validateTakes(key+".takes", p.Takes)
	for _, list := range []struct {
		key   string
		names Names
	}{{key + ".domains", p.Domains}, {key + ".mx", p.MX}} {
		d.validateDomains(list.key, list.names)
		for i, name := range list.names {
			item := fmt.Sprintf("%s[%d]", list.key, i)
			form, _ := mailbox.Pattern(name)
			same := list.key[strings.LastIndexByte(list.key, '.'):] + " " + cmp.Or(form, name)
			if first, twice := claimed[same]; twice && name != "" {
				d.wrong(item, fmt.Sprintf("%q stands here already, in line %d", name, d.line(first)), "a name belongs to one provider")
			}
			claimed[same] = item
		}
	}
}

// validateName judges a name that the operator chooses and that others refer to.
func (d *decoder) validateName(key, name, what, example string, seen map[string]string) {
	d.must(key, fmt.Sprintf("name = %q", example))
	d.judge(rule{key, name, isName(name), "%q is not a name", "want letters, digits, hyphens and underscores, at most 64, such as " + fmt.Sprintf("%q", example)})
	if first, twice := seen[name]; twice && d.good(key) {
		d.wrong(key, fmt.Sprintf("%q is the name of a %s already, in line %d", name, what, d.line(first)), "want another name")
	} else if d.has(key) && d.good(key) && isName(name) {
		seen[name] = key
	}
}

// isName: names become parts of keys, of log lines and of metrics.
func isName(name string) bool {
	return name != "" && len(name) <= 64 && strings.Trim(name, nameChars) == ""
}

// validateDomains judges domains, with or without "*." in front.
func (d *decoder) validateDomains(key string, domains Names) {
	d.judge(filled(key, domains, "empty", "remove it, or name a domain"))
	for i, domain := range domains {
		err := checkDomain(strings.TrimPrefix(domain, "*."))
		d.judge(sound(fmt.Sprintf("%s[%d]", key, i), domain, err, "is not a domain", `want "acme.example", or "*.acme.example" for all below it`))
	}
}

// mergeProviders puts the operator's in place of those of the same name, and the others behind them.
func mergeProviders(defaults, own []Provider) []Provider {
	byName := map[string]bool{}
	for _, p := range own {
		byName[p.Name] = true
	}
	var all []Provider
	for _, p := range defaults {
		if !byName[p.Name] {
			all = append(all, p)
		}
	}
	return append(all, own...)
}
