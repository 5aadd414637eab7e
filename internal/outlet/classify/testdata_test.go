package classify

import (
	"bufio"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// testdata/*.txt: a reply, and below it what it must be taken for. listed.txt explains the form.
//
// law: I20
func TestReplies(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no replies: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { replies(t, file) })
	}
}

func replies(t *testing.T, file string) {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	reply, n, judged := "", 0, 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		n++
		line := lines.Text()
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case !strings.HasPrefix(line, " "):
			if reply != "" {
				t.Fatalf("%s:%d: the reply above says not what it is", file, n)
			}
			reply = strings.ReplaceAll(line, `\n`, "\n")
		default:
			expect(t, file, n, reply, strings.Fields(line))
			reply, judged = "", judged+1
		}
	}
	if reply != "" || judged == 0 {
		t.Fatalf("%s ends with a reply that says not what it is, or holds none", file)
	}
}

func expect(t *testing.T, file string, n int, reply string, words []string) {
	if len(words) < 3 {
		t.Fatalf("%s:%d: want class, scope and suspend", file, n)
	}
	q, want := Query{Text: reply}, map[string]string{}
	for _, w := range words[3:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "ip":
			q.SendingIP = netip.MustParseAddr(value)
		case "phase":
			q.Phase = Phase(value)
		case "sender":
			q.Sender = strings.ReplaceAll(value, "_", " ")
		case "recipient":
			q.Recipient = strings.ReplaceAll(value, "_", " ")
		case "ehlo":
			q.EHLO = append(q.EHLO, value)
		case "subject":
			q.Subject = strings.ReplaceAll(value, "_", " ")
		case "lists", "rule", "guard", "retry", "only":
			want[key] = strings.ReplaceAll(value, "_", " ")
		case "count":
			want[key] = value
		default:
			t.Fatalf("%s:%d: %q", file, n, w)
		}
	}
	v := builtinOf(t).Classify(q)
	if got := []string{v.Class.String(), v.Scope.String(), v.Suspend.String()}; !slices.Equal(got, words[:3]) {
		t.Errorf("%s:%d: %.100q: %v by rule %q %s, want %v", file, n, reply, got, v.Rule, v.Guard, words[:3])
	}
	var lists []string
	for _, l := range v.Lists {
		lists = append(lists, l.Name)
	}
	got := map[string]string{"lists": strings.Join(lists, ","), "rule": v.Rule, "guard": v.Guard, "retry": v.RetryAfter.String(), "only": strconv.FormatBool(v.Only), "count": v.Count.String()}
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s:%d: %.100q: %s %q, want %q", file, n, reply, key, got[key], value)
		}
	}
}
