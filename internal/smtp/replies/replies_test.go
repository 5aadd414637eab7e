package replies

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// entries gives all of the catalogue.
func entries() (all []*Entry) {
	for _, s := range Catalogue() {
		all = append(all, s.Entries...)
	}
	return all
}

// Every entry says all that a postmaster and an operator want to know, and its text is one that can be filled in and sent.
func TestEveryReplyIsExplained(t *testing.T) {
	names, texts := map[string]bool{}, map[string]string{}
	for _, e := range entries() {
		v := reflect.ValueOf(*e)
		for i := range v.NumField() {
			if f := v.Field(i); f.Kind() == reflect.String && f.String() == "" {
				t.Errorf("%s: no %s", e.Name, v.Type().Field(i).Name)
			}
		}
		if names[e.Name] {
			t.Errorf("%s: there are two", e.Name)
		}
		names[e.Name] = true
		if verbs := strings.Count(e.Text, "%s") + strings.Count(e.Text, "%q"); verbs != strings.Count(e.Text, "%") || verbs != len(e.Holds) {
			t.Errorf("%s: %d places in %q, %d values", e.Name, verbs, e.Text, len(e.Holds))
		}
		for _, c := range e.Codes {
			if c.Enhanced != "" && (c.Enhanced[0]-'0') != byte(c.Code/100) {
				t.Errorf("%s: %s", e.Name, c)
			}
		}
		text := e.Say(e.Holds...).String()
		if first, twice := texts[text]; twice {
			t.Errorf("%s and %s say the same: %q", first, e.Name, text)
		}
		texts[text] = e.Name
		reply := e.Say(e.Holds...).Reply("gw.example.jp")
		if wire := reply.AppendWire(nil, false); len(wire) > 512 || strings.Count(string(wire), "\r\n") != 1 {
			t.Errorf("%s: %d octets in %q (RFC 5321 §4.5.3.1.5: 512, one line)", e.Name, len(wire), wire)
		}
	}
}

// A text for strangers says nothing of "we" and "here", blames no person, and promises no retry of what bounces.
func TestTextsAreForStrangers(t *testing.T) {
	for _, e := range entries() {
		words := strings.FieldsFunc(strings.ToLower(e.Text), func(r rune) bool { return r < 'a' || r > 'z' })
		for _, w := range words {
			switch w {
			case "we", "our", "ours", "us", "here", "i", "my", "person", "provider", "customer":
				if e != Spoofed {
					t.Errorf("%s: %q in %q", e.Name, w, e.Text)
				}
			}
		}
		final := true
		for _, c := range e.Codes {
			final = final && c.Code >= 500
		}
		if final && strings.Contains(e.Text, "queued") {
			t.Errorf("%s is final, and says that the mail waits: %q", e.Name, e.Text)
		}
		if final && strings.HasPrefix(e.Mail, "Queued") {
			t.Errorf("%s is final, and says of the mail: %q", e.Name, e.Mail)
		}
	}
}

// No reply is made up outside of the catalogue, and each of it that is filled in gets as many values as it has places.
func TestNoReplyIsMadeUpElsewhere(t *testing.T) {
	declared, used := map[string]*Entry{}, map[string]bool{}
	walkSources(t, ".", func(file *ast.File, _ *token.FileSet) {
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 {
				return true
			}
			if call, ok := spec.Values[0].(*ast.CallExpr); ok {
				if name := literalName(call); name != "" {
					for _, e := range entries() {
						if e.Name == name {
							declared[spec.Names[0].Name] = e
						}
					}
				}
			}
			return true
		})
	})
	if len(declared) != len(entries()) {
		t.Fatalf("%d of %d entries are found in the sources of this package", len(declared), len(entries()))
	}
	walkSources(t, "../../..", func(file *ast.File, files *token.FileSet) {
		own := file.Name.Name == "replies"
		ast.Inspect(file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && !own {
				if of, ok := sel.X.(*ast.Ident); ok && of.Name == "replies" && declared[sel.Sel.Name] != nil {
					used[sel.Sel.Name] = true
				}
			}
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			fun, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			at := files.Position(call.Pos())
			switch of := fun.X.(type) {
			case *ast.Ident:
				if of.Name == "smtp" && fun.Sel.Name == "NewReply" && !own {
					t.Errorf("%s makes up a reply: add it to package replies", at)
				}
			case *ast.SelectorExpr:
				if e := declared[of.Sel.Name]; e != nil && (fun.Sel.Name == "Say" && len(call.Args) != len(e.Holds) || fun.Sel.Name == "Plain" && len(e.Holds) > 0) {
					t.Errorf("%s: %s has %d places", at, of.Sel.Name, len(e.Holds))
				}
			}
			return true
		})
		if own || strings.HasSuffix(file.Name.Name, "test") || !strings.Contains(files.Position(file.Pos()).Filename, "/internal/") {
			return // what tests alone use may say what MXs say
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING && looksLikeReply(lit.Value) {
				t.Errorf("%s: %s looks like a reply that is made up", files.Position(lit.Pos()), lit.Value)
			}
			return true
		})
	})
	for name := range declared {
		if !used[name] {
			t.Errorf("nothing says %s", name)
		}
	}
}

// looksLikeReply is of a literal that begins with a code and an enhanced code, or with the mark.
func looksLikeReply(lit string) bool {
	text := strings.Trim(lit, "\"`")
	return strings.HasPrefix(text, Mark) && text != Mark ||
		len(text) > 6 && strings.ContainsAny(text[:1], "245") && strings.Trim(text[:3], "0123456789") == "" && text[3] == ' ' && text[5] == '.' && text[4] == text[0]
}

// A reply from a log or a bounce is found again, filled in and with the name of the gateway.
func TestARepliesEntryIsFound(t *testing.T) {
	for _, e := range entries() {
		for _, host := range []string{"", "gw.example.jp"} {
			reply := e.Say(e.Holds...).Reply(host)
			if got := Find(string(reply.AppendRaw(nil))); got != e && !e.Bare {
				t.Errorf("%s (%q): found %+v", e.Name, host, got)
			}
		}
	}
	if e := Find("550 5.1.1 no such user"); e != nil {
		t.Errorf("an MX's own is %s", e.Name)
	}
}

// Another kanmon's reply is known by its form, not by what an MX repeats.
//
// law: I20
func TestOwnReply(t *testing.T) {
	for text, want := range map[string]bool{
		"451 4.7.1 kanmon: all sending IPs for this destination are suspended": true,
		"421 kanmon: shutting down":                                  true,
		"550-5.7.1 kanmon: no\n550 5.7.1 more":                       true,
		`550 5.7.1 <"kanmon: ok"@tenant.example> refused, IP listed`: false,
		"550 5.7.1 refused by kanmon: no":                            false,
		"550 5.1.1 user unknown\n550 kanmon: no":                     false,
		"kanmon: no":                                                 false,
		"550":                                                        false,
		"":                                                           false,
	} {
		if got := IsOwn([]byte(text)); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
	repeated := []byte("550 5.1.8 kanmon: ok@tenant.example: sender address rejected")
	if !IsOwn(repeated) || IsOwn(repeated, `"kanmon: ok"@tenant.example`) {
		t.Error("a sender passes for our own words")
	}
}

// literalName gives the name of an entry in the call that makes it.
func literalName(call *ast.CallExpr) (name string) {
	ast.Inspect(call, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Name" && name == "" {
				name = strings.Trim(n.Value.(*ast.BasicLit).Value, `"`)
			}
		case *ast.CallExpr:
			if fun, ok := n.Fun.(*ast.Ident); ok && fun.Name == "command" {
				name = strings.Trim(n.Args[0].(*ast.BasicLit).Value, `"`)
			}
		}
		return true
	})
	return name
}

// walkSources parses the sources of the program below a folder: no tests, and nothing that only tests import.
func walkSources(t *testing.T, root string, each func(*ast.File, *token.FileSet)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			switch entry.Name() {
			case "smtptest", "testdata", "test", "lab", "build", "tools", ".git":
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		each(file, files)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
