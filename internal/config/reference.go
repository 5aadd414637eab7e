package config

import (
	"embed"
	"fmt"
	"reflect"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// The descriptions of all keys, one file for each table: keys/rescue.toml has those of [rescue], keys/top-level.toml those above the first
// table. docs/ref/configuration.md, kanmon.toml(5) and "kanmon help KEY" are made of them, in the order of the fields of Config.
//
//go:embed keys/*.toml
var keyFiles embed.FS

// A Table describes a table of the configuration.
type Table struct {
	Name    string // as in the file: "intercept"; "" for the keys above the first table
	Heading string // "[intercept]", "[[tenant]]", "[pool.NAME]"; "Top level"
	Keys    []Key  // in the order of the documentation
}

// A Key describes a key. The texts may hold code in backticks and links of Markdown, relative to docs/.
type Key struct {
	Name      string `toml:"-"`
	Table     string `toml:"-"` // its table's Name
	Value     string `toml:"value"`
	Default   string `toml:"default"`    // as it would stand in the file; "" if DefaultIs says it in words
	DefaultIs string `toml:"default_is"` // "must be set", "this host's name"; both empty: none
	Example   string `toml:"example"`    // as it would stand in the file
	Restart   bool   `toml:"restart"`    // a reload refuses a change
	Text      string `toml:"text"`       // what it does, what each value does
}

// Path names a key as errors do, without numbers: "intercept.sources", "tenant.name", "hostname".
func (k *Key) Path() string { return join(k.Table, k.Name) }

// Fallback says in words, or in backticks as it would stand in the file, what holds without the key.
func (k *Key) Fallback() string {
	switch {
	case k.Default != "":
		return "`" + k.Default + "`"
	case k.DefaultIs != "":
		return k.DefaultIs
	default:
		return "none"
	}
}

// Reference describes every table and key of the configuration.
func Reference() ([]Table, error) {
	config := reflect.TypeFor[Config]()
	top := Table{Heading: "Top level"}
	var topKeys []string
	tables := []Table{}
	for i := range config.NumField() {
		field := config.Field(i)
		name := field.Tag.Get("toml")
		var keys reflect.Type
		var heading string
		switch field.Type.Kind() {
		case reflect.Struct:
			heading, keys = "["+name+"]", field.Type
		case reflect.Map:
			heading, keys = "["+name+".NAME]", field.Type.Elem()
		case reflect.Slice:
			heading, keys = "[["+name+"]]", field.Type.Elem()
		default:
			topKeys = append(topKeys, name)
			continue
		}
		if name == "" {
			continue // not of the file
		}
		described, err := describe(name, name, keysOf(keys))
		if err != nil {
			return nil, err
		}
		tables = append(tables, Table{name, heading, described})
	}
	var err error
	if top.Keys, err = describe("", "top-level", topKeys); err != nil {
		return nil, err
	}
	return append([]Table{top}, tables...), nil
}

// describe reads the descriptions of the keys that a table has, no more and no fewer.
func describe(table, file string, keys []string) ([]Key, error) {
	path := "keys/" + file + ".toml"
	f, err := keyFiles.Open(path)
	if err != nil {
		return nil, fmt.Errorf("the keys of [%s] are not described: %w", table, err)
	}
	defer func() { _ = f.Close() }()
	described := map[string]Key{}
	if err := toml.NewDecoder(f).DisallowUnknownFields().Decode(&described); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var all []Key
	for _, name := range keys {
		if name == "" {
			continue
		}
		key, found := described[name]
		if !found {
			return nil, fmt.Errorf("%s: %s is not described", path, name)
		}
		key.Name, key.Table = name, table
		key.Text = strings.Join(strings.Fields(key.Text), " ")
		all = append(all, key)
		delete(described, name)
	}
	for name := range described {
		return nil, fmt.Errorf("%s: there is no key %s", path, name)
	}
	return all, nil
}

// A Difference is a key that two configurations have different values of.
type Difference struct {
	Key       string
	Was, Will any
}

// RestartNeeded gives the keys that differ and that a reload cannot change.
func RestartNeeded(was, will *Config) ([]Difference, error) {
	tables, err := Reference()
	if err != nil {
		return nil, err
	}
	var found []Difference
	for _, table := range tables {
		for i := range table.Keys {
			key := &table.Keys[i]
			if !key.Restart {
				continue
			}
			a, aKnown := valueOf(was, key)
			b, bKnown := valueOf(will, key)
			if !aKnown || !bKnown {
				return nil, fmt.Errorf("%s: restart = true is for keys that stand in the file once", key.Path())
			}
			if !reflect.DeepEqual(a, b) {
				found = append(found, Difference{key.Path(), a, b})
			}
		}
	}
	return found, nil
}

func valueOf(cfg *Config, key *Key) (any, bool) {
	table := reflect.ValueOf(cfg).Elem()
	if key.Table != "" {
		table, _ = fieldOf(table, key.Table)
	}
	if table.Kind() != reflect.Struct {
		return nil, false
	}
	value, known := fieldOf(table, key.Name)
	if !known {
		return nil, false
	}
	return value.Interface(), true
}
