package config

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"
)

// A decoder fills a Config from the tree of a document, notes where every value stood, and collects errors.
type decoder struct {
	file   string
	doc    []byte
	top    reflect.Type    // of the whole file
	places map[string]span // "intercept.sources[2]" → its value; tables → their header
	failed []string        // keys whose value did not parse: rules about them say nothing
	beyond map[string]int  // of failed, numbers that are out of any range: the index of the error
	off    []string        // keys of paths that say "off"
	dirs   Directories
	errs   Errors
}

// dateKind is a day without a time.
const dateKind = unstable.LocalDate

// ours is the package of the types that are tables. Those of other packages are values.
var ours = reflect.TypeFor[Config]().PkgPath()

func isTable(t reflect.Type) bool { return t.Kind() == reflect.Struct && t.PkgPath() == ours }

// decodeInto fills the struct that into points to. Keys it does not find keep their defaults.
func (d *decoder) decodeInto(root *node, into any) {
	d.top = reflect.TypeOf(into).Elem()
	d.table(root, reflect.ValueOf(into).Elem(), "")
}

// has reports whether the file sets a key, rightly or wrongly.
func (d *decoder) has(key string) bool {
	_, found := d.places[key]
	return found
}

// good reports whether a key may be judged: it, and nothing inside it, failed to parse.
func (d *decoder) good(key string) bool {
	return !slices.ContainsFunc(d.failed, func(f string) bool {
		return f == key || strings.HasPrefix(f, key+"[") || strings.HasPrefix(f, key+".")
	})
}

// failedItself reports whether a value is not even of the right type, whatever stands inside it.
func (d *decoder) failedItself(key string) bool { return slices.Contains(d.failed, key) }

// wrong notes an error at the place of a key, or at the nearest table around it.
func (d *decoder) wrong(key, problem, want string) {
	at, found := d.places[key]
	for around := key; !found && around != ""; at, found = d.places[around] {
		around = around[:max(0, strings.LastIndexAny(around, ".["))]
	}
	d.wrongAt(at, key, problem, want)
}

func (d *decoder) wrongAt(at span, key, problem, want string) {
	e := place(d.file, d.doc, at)
	e.Key, e.Problem, e.Want = key, problem, want
	d.errs = append(d.errs, e)
}

// line is where a key stands, for errors that point at another one.
func (d *decoder) line(key string) int {
	return place(d.file, d.doc, d.places[key]).Line
}

// lines returns the line of every key.
func (d *decoder) lines() map[string]int {
	keys := slices.SortedFunc(maps.Keys(d.places), func(a, b string) int { return d.places[a].off - d.places[b].off })
	lines := make(map[string]int, len(keys))
	line, off := 1, 0
	for _, key := range keys {
		at := d.places[key].off
		line += bytes.Count(d.doc[off:at], []byte("\n"))
		off = at
		lines[key] = line
	}
	return lines
}

func (d *decoder) table(n *node, v reflect.Value, path string) {
	for _, name := range n.keys {
		m := n.members[name]
		key := join(path, name)
		field, known := fieldOf(v, name)
		if !known {
			d.wrongAt(m.at, key, "unknown key", suggest(d.top, v.Type(), path, name))
			continue
		}
		d.places[key] = m.value.at
		d.value(m.value, field, key)
	}
}

func (d *decoder) value(n *node, v reflect.Value, key string) {
	switch {
	case isTable(v.Type()):
		if n.kind != unstable.Table {
			d.mismatch(n, key, "a table", tableExample(v, key))
			return
		}
		d.table(n, v, key)
	case v.Kind() == reflect.Map:
		d.namedValues(n, v, key)
	case v.Kind() == reflect.Slice:
		d.list(n, v, key)
	default:
		d.scalar(n, v, key)
	}
}

// namedValues fills a map: the operator chooses the keys, names or addresses.
func (d *decoder) namedValues(n *node, v reflect.Value, key string) {
	if n.kind != unstable.Table {
		hint := `write { "203.0.113.10" = 2 }`
		if _, roles := v.Interface().(map[string]WebRole); roles {
			hint = `write { ops = "act" }`
		}
		if isTable(v.Type().Elem()) {
			hint = fmt.Sprintf("write [%s.NAME] on a line of its own, its keys below", key)
		}
		d.mismatch(n, key, "a table", hint)
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, name := range n.keys {
		m := n.members[name]
		item := join(key, name)
		d.places[item] = m.value.at
		if !isTable(v.Type().Elem()) {
			d.places[item] = span{m.at.off, m.value.at.off + m.value.at.n - m.at.off} // either half may be wrong
		}
		index, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		switch into := index.Addr().Interface().(type) {
		case *netip.Addr:
			text(d, &node{kind: unstable.String, at: m.at, text: name}, item, into, `"203.0.113.10"`, parseAddr)
		default:
			index.SetString(name)
		}
		d.value(m.value, value, item)
		v.SetMapIndex(index, value)
	}
}

func (d *decoder) list(n *node, v reflect.Value, key string) {
	found := n.items
	_, names := v.Interface().(Names)
	_, networks := v.Interface().(Networks)
	switch {
	case n.kind == unstable.String && (names || networks):
		found = []*node{n}
	case n.kind != unstable.Array:
		want, hint := "a list", "write ["+strings.TrimSpace(d.source(n))+"]"
		if isTable(v.Type().Elem()) {
			want, hint = "a list of tables", fmt.Sprintf("write [[%s]], with two brackets, once for each", key)
		}
		d.mismatch(n, key, want, hint)
		return
	}
	items := reflect.MakeSlice(v.Type(), len(found), len(found))
	for i, item := range found {
		itemKey := fmt.Sprintf("%s[%d]", key, i)
		d.places[itemKey] = item.at
		d.value(item, items.Index(i), itemKey)
	}
	v.Set(items)
}

// scalar stores one value. Numbers and words are told apart by the type of the field, texts by what they parse to.
func (d *decoder) scalar(n *node, v reflect.Value, key string) {
	switch field := v.Addr().Interface().(type) {
	case *bool:
		if n.kind != unstable.Bool {
			d.mismatch(n, key, "true or false", "write true or false, without quotes")
			return
		}
		*field = n.text == "true"
	case *int:
		d.number(n, key, 31, func(i uint64) { *field = int(i) })
	case *uint32:
		d.number(n, key, 32, func(i uint64) { *field = uint32(i) })
	case *float64:
		d.fraction(n, key, field)
	case *Size:
		if n.kind == unstable.Integer {
			d.number(n, key, 63, func(i uint64) { *field = Size(i) })
			return
		}
		text(d, n, key, field, `"50MiB"`, parseSize)
	case *netip.Addr:
		text(d, n, key, field, `"203.0.113.10"`, parseAddr)
	case *netip.AddrPort:
		text(d, n, key, field, `"0.0.0.0:10025"`, parseAddrPort)
	case *netip.Prefix:
		text(d, n, key, field, `"10.20.0.0/16"`, parsePrefix)
	case *time.Time:
		d.date(n, key, field)
	case *time.Duration:
		text(d, n, key, field, `"5m"`, parseDuration)
	default:
		d.word(n, v, key)
	}
}

// number stores an integer that is not negative and fits in the given bits.
func (d *decoder) number(n *node, key string, bits int, store func(uint64)) {
	if n.kind != unstable.Integer {
		d.mismatch(n, key, "a whole number", "write digits alone, without quotes")
		return
	}
	// The base prefixes and underscores of TOML are those of Go.
	i, err := strconv.ParseUint(strings.TrimPrefix(n.text, "+"), 0, bits)
	if err != nil {
		d.failed = append(d.failed, key)
		if d.beyond == nil {
			d.beyond = map[string]int{}
		}
		d.beyond[key] = len(d.errs)
		d.wrong(key, n.text+" is out of range", fmt.Sprintf("want a number from 0 to %d", uint64(1)<<bits-1))
		return
	}
	store(i)
}

func (d *decoder) fraction(n *node, key string, field *float64) {
	f, err := strconv.ParseFloat(strings.ReplaceAll(n.text, "_", ""), 64)
	if n.kind != unstable.Float && n.kind != unstable.Integer || err != nil {
		d.mismatch(n, key, "a number", "write digits alone, without quotes, such as 0.8")
		return
	}
	*field = f
}

// text stores a string that has a form of its own.
func text[T any](d *decoder, n *node, key string, field *T, example string, parse func(string) (T, error)) {
	if n.kind != unstable.String {
		d.mismatch(n, key, "a text in quotes", "write it in quotes, in a form such as "+example)
		return
	}
	parsed, err := parse(n.text)
	if err != nil {
		d.failed = append(d.failed, key)
		var wrong *wrongValue
		if errors.As(err, &wrong) {
			d.wrong(key, wrong.problem, wrong.want)
		} else {
			d.wrong(key, err.Error(), "")
		}
		return
	}
	*field = parsed
}

// word stores a string, which for a vocabulary must be one of a few.
func (d *decoder) word(n *node, v reflect.Value, key string) {
	var allowed []string
	if few, isFew := v.Interface().(vocabulary); isFew {
		allowed = few.Words()
	}
	if n.kind != unstable.String {
		want := "a text in quotes"
		if allowed != nil {
			want = oneOf(allowed)
		}
		d.mismatch(n, key, want, "")
		return
	}
	if allowed != nil && !slices.Contains(allowed, n.text) {
		d.failed = append(d.failed, key)
		want := "want " + oneOf(allowed)
		if near := nearest(n.text, allowed); near != "" {
			want = fmt.Sprintf("did you mean %q? %s", near, want)
		}
		d.wrong(key, fmt.Sprintf("%q is not a valid value", n.text), want)
		return
	}
	if v.Kind() == reflect.String {
		v.SetString(n.text)
		return
	}
	if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.text)); err != nil { // its Words said that it is one
		d.wrong(key, err.Error(), "")
	}
}

func (d *decoder) mismatch(n *node, key, want, hint string) {
	d.failed = append(d.failed, key)
	d.wrongAt(n.at, key, fmt.Sprintf("%s is %s, want %s", d.excerpt(n), kindName(n.kind), want), hint)
}

func (d *decoder) source(n *node) string { return string(d.doc[n.at.off : n.at.off+n.at.n]) }

// excerpt is the source of a value, cut so that an error stays readable.
func (d *decoder) excerpt(n *node) string {
	s, _, _ := strings.Cut(d.source(n), "\n")
	if len(s) > 40 {
		s = s[:40] + "…"
	}
	return visible(s)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// fieldOf returns the field of a key. The keys of an embedded struct, which may be another package's, are the table's own.
func fieldOf(v reflect.Value, name string) (reflect.Value, bool) {
	for _, field := range reflect.VisibleFields(v.Type()) {
		if tag := field.Tag.Get("toml"); tag != "" && tag == name {
			return v.FieldByIndex(field.Index), true
		}
	}
	return reflect.Value{}, false
}

func keysOf(t reflect.Type) []string {
	var keys []string
	for _, field := range reflect.VisibleFields(t) {
		if name := field.Tag.Get("toml"); name != "" {
			keys = append(keys, name)
		}
	}
	return keys
}

func kindName(k unstable.Kind) string {
	switch k {
	case unstable.Table:
		return "a table"
	case unstable.Array:
		return "a list"
	case unstable.String:
		return "a text"
	case unstable.Bool:
		return "true or false"
	case unstable.Integer:
		return "a whole number"
	case unstable.Float:
		return "a fraction"
	case dateKind:
		return "a date"
	default:
		return "a date or time"
	}
}

func oneOf(allowed []string) string {
	quoted := make([]string, len(allowed))
	for i, w := range allowed {
		quoted[i] = strconv.Quote(w)
	}
	last := len(quoted) - 1
	return strings.Join(quoted[:last], ", ") + " or " + quoted[last]
}

func tableExample(v reflect.Value, key string) string {
	if strings.Contains(key, "[") { // of one of several
		return "want a table with " + strings.Join(keysOf(v.Type()), ", ")
	}
	return fmt.Sprintf("write [%s] on a line of its own, its keys below", key)
}

// suggest says what an unknown key may have meant: one nearly the same in its table, or the same in another.
func suggest(top, t reflect.Type, path, name string) string {
	keys := keysOf(t)
	if near := nearest(name, keys); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if path != "" && slices.Contains(keysOf(top), name) {
		return fmt.Sprintf("%q belongs at the top of the file, above the first [table]", name)
	}
	for i := range top.NumField() {
		table := top.Field(i).Type
		if table.Kind() == reflect.Slice || table.Kind() == reflect.Map {
			table = table.Elem()
		}
		if table.Kind() == reflect.Struct && slices.Contains(keysOf(table), name) {
			return fmt.Sprintf("%q belongs in [%s]", name, top.Field(i).Tag.Get("toml"))
		}
	}
	return "known here: " + strings.Join(keys, ", ")
}
