package classify

import (
	"runtime"
	"strings"
	"testing"
	"unsafe"
)

// compiled gives the phrases of a test, by their text.
func compiled(t *testing.T, words map[string][]string, texts ...string) (*automaton, map[string]int32) {
	t.Helper()
	c := compiler{words: words, spelled: map[string][]string{}, ids: map[string]int32{}, pieces: map[string]part{}, found: newBuilder()}
	for _, text := range texts {
		if _, err := c.phrase(text); err != nil {
			t.Fatal(err)
		}
	}
	return c.found.automaton(), c.ids
}

// Groups of many words that follow each other are found as if each spelling had been written down.
func TestManySpellingsNextToEachOther(t *testing.T) {
	many := func(stem string) (words []string) {
		for i := range 50 {
			words = append(words, stem+strings.Repeat("x", i))
		}
		return words
	}
	words := map[string][]string{"who": append(many("host"), "ip", "ip address is"), "done": append(many("refused"), "is blocked", "blocked"), "how": many("hard")}
	a, ids := compiled(t, words, "{who} {done} {how}", "{who} {|very }{done}", "your {who}", "{who} .. {done}")
	var trace trace
	for text, want := range map[string]string{
		" hostx refusedxx hardx ":            "{who} {done} {how} | {who} {|very }{done} | {who} .. {done}",
		" ip address is blocked hard ":       "{who} {done} {how} | {who} {|very }{done} | {who} .. {done}",
		" ip address is is blocked ":         "{who} {|very }{done} | {who} .. {done}",
		" hostx very refused hard ":          "{who} {|very }{done} | {who} .. {done}",
		" hostx is refused hard ":            "{who} .. {done}",
		" hostx . refused hard ":             "",
		" refused hostx ":                    "",
		" your hostx hosty refused ":         "your {who} | {who} .. {done}",
		" your big hostx hostx refused xx ":  "{who} {|very }{done} | {who} .. {done}",
		" host refused host refused hardxx ": "{who} {done} {how} | {who} {|very }{done} | {who} .. {done}",
	} {
		a.run([]byte(text), &trace)
		for phrase, id := range ids {
			if in := strings.Contains(" | "+want+" | ", " | "+phrase+" | "); trace.said(id) != in {
				t.Errorf("%q: %q found %v, want %v", text, phrase, !in, in)
			}
		}
	}
}

// A trace of one text says nothing of the next one.
func TestTraceForgets(t *testing.T) {
	a, ids := compiled(t, nil, "ip .. blocked", "ip refused")
	var trace trace
	for _, text := range []string{" ip ", " blocked ", " refused ", " ip refused ", " ip "} {
		a.run([]byte(text), &trace)
		for phrase, id := range ids {
			if want := text == " "+phrase+" "; trace.said(id) != want {
				t.Errorf("%q behind others: %q found %v", text, phrase, !want)
			}
		}
	}
}

// The table of all built-in rules stays small enough to be kept in memory by everybody, and to be made at each start.
func TestTableIsSmall(t *testing.T) {
	a := builtinOf(t).found
	size := len(a.states)*int(unsafe.Sizeof(state{})) + len(a.octets) + len(a.ends)*int(unsafe.Sizeof(end{})) + len(a.uses)*int(unsafe.Sizeof(use{})) + len(a.part)*4
	t.Logf("%d states, %d parts, %d places, %.1f MiB", len(a.states), len(a.part), a.places, float64(size)/(1<<20))
	if size > 4<<20 {
		t.Errorf("%d states, %d octets in all, want 4 MiB at most", len(a.states), size)
	}
}

// What has made the rules is not kept with them.
func TestRulesKeepWhatTheyAreOnly(t *testing.T) {
	const allowed = 6 << 20
	held := func() int {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	before := held()
	rules, err := Parse("own.toml", nil)
	if err != nil {
		t.Fatal(err)
	}
	got := held() - before
	runtime.KeepAlive(rules)
	t.Logf("%.1f MiB", float64(got)/(1<<20))
	if got > allowed {
		t.Errorf("rules keep %d octets, want %d at most", got, allowed)
	}
}
