package config

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// A rule is what must hold of one key: a range, a form, a path, a name that stands elsewhere. It is asked where the file sets the key and
// its value has parsed; a default needs no judge. What several keys must be to each other is code.
type rule struct {
	key     string
	of      any // what the problem speaks of; nil: it says all
	holds   bool
	problem string // a format for of
	want    string
}

// judge asks rules. A number that does not even fit is out of the range that its key's first rule tells.
func (d *decoder) judge(rules ...rule) {
	for _, r := range rules {
		if i, beyond := d.beyond[r.key]; beyond && r.want != "" {
			d.errs[i].Want = r.want
			delete(d.beyond, r.key)
		}
		if r.holds || !d.has(r.key) || !d.good(r.key) {
			continue
		}
		if r.of != nil {
			r.problem = fmt.Sprintf(r.problem, r.of)
		}
		d.wrong(r.key, r.problem, r.want)
	}
}

// within is the rule of a range.
func within[T cmp.Ordered](key string, n, least, most T, problem, want string) rule {
	return rule{key, n, n >= least && n <= most, problem, want}
}

// lasting is the rule of a range of times.
func lasting(key string, n, least, most time.Duration) rule {
	return rule{key, Short(n), n >= least && n <= most, "%s is out of range", fmt.Sprintf("want %q to %q", Short(least), Short(most))}
}

// absolute is the rule of a path: a service has no folder of its own that a relative one could mean.
func absolute(key, path string) rule {
	return rule{key, path, path == "" || filepath.IsAbs(path), "%q is not an absolute path", "want a path that begins with /"}
}

// sound is the rule of a form; err is why a name does not have it.
func sound(key, name string, err error, problem, want string) rule {
	if err == nil {
		return rule{key: key, holds: true}
	}
	return rule{key, nil, false, fmt.Sprintf("%q %s: %s", name, problem, err), want}
}

// filled is the rule of a list that, where it stands at all, has something to say.
func filled[T any](key string, list []T, problem, want string) rule {
	return rule{key, nil, len(list) > 0, problem, want}
}

// refers is the rule of a name that stands elsewhere.
func refers(key, what, name string, known []string, want string) rule {
	found := slices.Contains(known, name)
	if !found {
		if near := nearest(name, known); near != "" {
			want = fmt.Sprintf("did you mean %q?", near)
		}
	}
	return rule{key, name, found, "there is no " + what + " %q", want}
}

// must wants a key to be there.
func (d *decoder) must(key, example string) {
	if !d.has(key) && d.good(key) {
		d.wrong(key, "missing", "add "+example)
	}
}

// validatePaths wants paths that do not depend on where kanmon was started, where the file does not say "off".
func (d *decoder) validatePaths(paths map[string]string) {
	for key, path := range paths {
		if !slices.Contains(d.off, key) {
			d.judge(rule{key, nil, path != "", "empty", "want a path, or leave the key out"}, absolute(key, path))
		}
	}
}
