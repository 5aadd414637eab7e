package config

import (
	"errors"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// A node is a value of the document and its place. TOML's own decoder stops at the first wrong value and forgets
// where the right ones stood; the tree keeps both, so that every error can be shown at once.
type node struct {
	kind    unstable.Kind // Table for all tables, Array for all lists, else the kind of the value
	at      span          // the value; for a table its header
	text    string        // content of a string, source of another scalar
	keys    []string      // of a table, in the order of the file
	members map[string]*member
	items   []*node
}

type member struct {
	at    span // the key
	value *node
}

// parseTree reads a TOML document. Syntax errors come one at a time: what follows the first has no sure meaning.
func parseTree(file string, doc []byte) (*node, *Error) {
	if err := checkSyntax(file, doc); err != nil {
		return nil, err
	}
	parser := &unstable.Parser{}
	parser.Reset(doc)
	root := newTable(span{})
	current := root
	for parser.NextExpression() {
		expr := parser.Expression()
		switch expr.Kind {
		case unstable.Table:
			current = openTable(root, expr, false)
		case unstable.ArrayTable:
			current = openTable(root, expr, true)
		case unstable.KeyValue:
			current.set(doc, expr)
		}
	}
	return root, nil
}

// checkSyntax refuses what is not TOML, keys defined twice included.
func checkSyntax(file string, doc []byte) *Error {
	var discard map[string]any
	err := toml.Unmarshal(doc, &discard)
	if err == nil {
		return nil
	}
	at := span{}
	problem := err.Error()
	var decode *toml.DecodeError
	if errors.As(err, &decode) {
		line, column := decode.Position()
		at = span{off: offsetOf(doc, line, column), n: 1}
		problem = decode.Error()
	}
	e := place(file, doc, at)
	e.Problem = "not valid TOML: " + strings.TrimPrefix(problem, "toml: ")
	return e
}

func offsetOf(doc []byte, line, column int) int {
	off := 0
	for range line - 1 {
		next := strings.IndexByte(string(doc[off:]), '\n')
		if next < 0 {
			break
		}
		off += next + 1
	}
	return min(off+max(0, column-1), len(doc))
}

func newTable(at span) *node {
	return &node{kind: unstable.Table, at: at, members: map[string]*member{}}
}

// openTable finds or makes the table of a [header] or [[header]].
func openTable(root *node, expr *unstable.Node, array bool) *node {
	table := root
	for it := expr.Key(); it.Next(); {
		key := it.Node()
		name, at := string(key.Data), spanOf(key.Raw)
		m, known := table.members[name]
		if array && it.IsLast() {
			if !known {
				m = table.add(name, at, &node{kind: unstable.Array, at: at})
			}
			m.value.items = append(m.value.items, newTable(at))
		} else if !known {
			m = table.add(name, at, newTable(at))
		}
		table = m.value
		if table.kind == unstable.Array {
			table = table.items[len(table.items)-1]
		}
	}
	return table
}

func (n *node) add(name string, at span, value *node) *member {
	m := &member{at: at, value: value}
	n.keys = append(n.keys, name)
	n.members[name] = m
	return m
}

// set stores a "key = value", dotted keys included.
func (n *node) set(doc []byte, expr *unstable.Node) {
	table := n
	for it := expr.Key(); it.Next(); {
		key := it.Node()
		name, at := string(key.Data), spanOf(key.Raw)
		if it.IsLast() {
			rest := valueSpan(doc, at, spanOf(expr.Raw))
			table.add(name, at, newValue(doc, expr.Value(), rest))
			return
		}
		m, known := table.members[name]
		if !known {
			m = table.add(name, at, newTable(at))
		}
		table = m.value
	}
}

// valueSpan is what follows the key and its equals sign: lists and inline tables have no place of their own.
func valueSpan(doc []byte, key, all span) span {
	start := key.off + key.n
	end := all.off + all.n
	for start < end && strings.IndexByte(" \t=", doc[start]) >= 0 {
		start++
	}
	return span{off: start, n: end - start}
}

func newValue(doc []byte, v *unstable.Node, at span) *node {
	switch v.Kind {
	case unstable.Array:
		list := &node{kind: unstable.Array, at: at}
		for it := v.Children(); it.Next(); {
			item := it.Node()
			itemAt := at
			if item.Raw.Length > 0 {
				itemAt = spanOf(item.Raw)
			}
			list.items = append(list.items, newValue(doc, item, itemAt))
		}
		return list
	case unstable.InlineTable:
		table := newTable(at)
		for it := v.Children(); it.Next(); {
			table.set(doc, it.Node())
		}
		return table
	default:
		return &node{kind: v.Kind, at: spanOf(v.Raw), text: string(v.Data)}
	}
}

func spanOf(r unstable.Range) span { return span{off: int(r.Offset), n: int(r.Length)} }
