package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// Every key of the configuration, and of a file of providers, has a wrong value among the wrong files: what its error says was read by somebody.
func TestEveryKeyHasAWrongValue(t *testing.T) {
	wrong := map[string]bool{}
	for pattern, parse := range map[string]func([]byte) error{
		"testdata/bad/*.toml": func(doc []byte) error { _, err := Parse("kanmon.toml", doc); return err },
		"testdata/bad_providers/*.toml": func(doc []byte) error {
			if _, errs := parseProviders("providers.toml", doc); len(errs) > 0 {
				return errs
			}
			return nil
		},
	} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			doc, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var errs Errors
			if !errors.As(parse(doc), &errs) {
				t.Errorf("%s is not wrong", file)
			}
			for _, e := range errs {
				if e.Problem != "missing" && !strings.HasPrefix(e.Problem, "unknown key") {
					wrong[withoutNumbers(e.Key)] = true
				}
			}
		}
	}
	tables, err := Reference()
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		for i := range table.Keys {
			if key := table.Keys[i].Path(); !wrong[key] {
				t.Errorf("no file of testdata/bad has a wrong value of %s", key)
			}
		}
	}
	for _, name := range keysOf(reflect.TypeFor[Provider]()) {
		if !wrong["provider."+name] {
			t.Errorf("no file of testdata/bad_providers has a wrong value of %s", name)
		}
	}
}

// withoutNumbers takes from a key what says which of several it is: "tenant[2].sources[0]" is "tenant.sources", and "pool.bulk.ips" "pool.ips".
func withoutNumbers(key string) string {
	var names []string
	for i, name := range strings.Split(key, ".") {
		name, _, _ = strings.Cut(name, "[")
		if i != 1 || names[0] != "pool" {
			names = append(names, name)
		}
	}
	return strings.Join(names[:min(2, len(names))], ".")
}
