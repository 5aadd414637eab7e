package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// dripped is a mail of two lines whose replies come in octets.
func dripped(mail int) string {
	return fmt.Sprintf(`{"t":%d,"ip":"ip0","provider":"p0","mx":"mx","tenant":"t0","mail":%d,"phase":"mail","first_ms":10,"took_ms":3000,"bytes":14,"pieces":14,"code":250,"size":100}
{"t":%d,"ip":"ip0","provider":"p0","mx":"mx","tenant":"t0","mail":%d,"phase":"dot","first_ms":10,"took_ms":3000,"bytes":40,"pieces":40,"code":250,"size":100}
`, mail*60, mail, mail*60+5, mail)
}

func TestAFindingIsWrittenBeforeTheNextLineIsRead(t *testing.T) {
	var whole, cut bytes.Buffer
	first, all := dripped(1)+dripped(2), dripped(1)+dripped(2)+dripped(3)
	if err := feed(strings.NewReader(first), &cut, nil, false); err != nil {
		t.Fatal(err)
	}
	if err := feed(strings.NewReader(all), &whole, nil, false); err != nil {
		t.Fatal(err)
	}
	want := `{"t":125,"ip":"ip0","provider":"p0","phase":"drip"}` + "\n"
	if cut.String() != want || whole.String() != want {
		t.Errorf("%q of the cut stream, %q of the whole; it has to be %q", cut.String(), whole.String(), want)
	}
}

func TestTheMarksAreLeftTheFirstAndTheLastLineOfEachMailOfARestrictedKey(t *testing.T) {
	var few bytes.Buffer
	three := strings.Replace(dripped(1), "\n", "\n"+strings.Replace(strings.SplitAfter(dripped(1), "\n")[0], `"mail","first`, `"data","first`, 1), 1)
	elsewhere := strings.ReplaceAll(dripped(3), `"p0"`, `"p1"`)
	if err := feed(strings.NewReader(three+dripped(2)+elsewhere), &bytes.Buffer{}, &ends{&few, map[key]bool{{"ip0", "p0"}: true}}, false); err != nil {
		t.Fatal(err)
	}
	if want := dripped(1) + dripped(2); few.String() != want {
		t.Errorf("%s\nit has to be\n%s", few.String(), want)
	}
}

func TestALineThatIsNotOneIsNamed(t *testing.T) {
	for line, says := range map[string]string{
		`{"t":1`:                          "line 2",
		`{"t":1,"phase":"quit","mail":1}`: "one of dial, banner",
	} {
		err := feed(strings.NewReader(strings.SplitAfter(dripped(1), "\n")[0]+line+"\n"), &bytes.Buffer{}, nil, false)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, it has to say %q", line, err, says)
		}
	}
}

func TestOfWhatIsPromisedOnlyKeysThatSendMuchCount(t *testing.T) {
	dir := t.TempDir()
	truth := `{"until":172800,"ips":4,"restrictions":[{"kind":"few","from":0,"to":86400,"mails":59},{"kind":"many","from":86400,"to":259200,"mails":60}]}`
	if err := os.WriteFile(filepath.Join(dir, "truth.json"), []byte(truth), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "obs.jsonl"), []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	large := filepath.Join(dir, "large")
	if err := withLarge(dir, large); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(large, "truth.json"))
	if err != nil || strings.Contains(string(b), "few") || !strings.Contains(string(b), "many") || !strings.Contains(string(b), `"ips":4`) {
		t.Errorf("%s %v", b, err)
	}
}

func TestTheKeysThatAWorldRestrictsAreRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "truth.json")
	if err := os.WriteFile(file, []byte(`{"restrictions":[{"kind":"drip","ip":"ip1","provider":"p2"}],"benign":[{"kind":"usual","provider":"p3"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := restricted(file)
	if err != nil || len(keys) != 1 || !keys[key{"ip1", "p2"}] {
		t.Errorf("%v %v, it has to be ip1 at p2", keys, err)
	}
}

func TestTheMarksOfASimulatorAreAddedUp(t *testing.T) {
	sum := newMarks()
	for range 2 {
		m := newMarks()
		if err := m.add([]byte("dev seed 1\nkind   n  found within 20  median\nadd@rcpt  4  3  2  12\nfalse findings: 3 in 4.0 IP-months: 0.75 (95 %: 0.15 to 2.19) map[nothing:2 usual dot :1]\n")); err != nil {
			t.Fatal(err)
		}
		sum.sum(m)
	}
	if k := sum.kinds["add@rcpt"]; k == nil || *k != (found20{8, 6, 4}) || sum.wrong != 6 || sum.months != 8 || sum.causes["nothing"] != 4 || sum.causes["usual dot"] != 2 {
		t.Errorf("%+v %+v", sum, sum.kinds["add@rcpt"])
	}
}
