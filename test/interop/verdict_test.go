package interop

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGoReport(t *testing.T) {
	report, err := goReport([]byte(`{"Action":"start"}
{"Action":"run","Test":"TestA"}
{"Action":"run","Test":"TestA/sub"}
{"Action":"output","Test":"TestA/sub","Output":"--- FAIL: TestNot\n"}
{"Action":"pass","Test":"TestA/sub"}
{"Action":"pass","Test":"TestA"}
{"Action":"run","Test":"TestB"}
{"Action":"skip","Test":"TestB"}
{"Action":"run","Test":"TestCrash"}
{"Action":"fail"}
`))
	if err != nil {
		t.Fatal(err)
	}
	got := report.Verdicts
	want := Verdicts{"TestA": "pass", "TestA/sub": "pass", "TestB": "skip", "TestCrash": "fail"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := report.Output["TestA/sub"]; got != "--- FAIL: TestNot\n" {
		t.Errorf("output %q", got)
	}
	if n := got.Tests(); n != 3 {
		t.Errorf("%d tests without subtests, want 3", n)
	}
	if _, err := goReport([]byte("not JSON")); err == nil {
		t.Error("garbage was read as verdicts")
	}
}

func TestHung(t *testing.T) {
	r := Report{Output: map[string]string{
		"TestA": "panic: test timed out after 30s\n\trunning tests:\n\t\tTestA (30s)\n\t\tTestB/sub (2.5s)\n\ngoroutine 1:\n\tTestNot (x)\n",
		"TestC": "fine\n",
	}}
	if diff := cmp.Diff([]string{"TestA", "TestB"}, r.hung()); diff != "" {
		t.Error(diff)
	}
}

func TestPythonReport(t *testing.T) {
	report := pythonReport([]byte(`test_one (test.test_smtplib.A.test_one) ... ok
test_two (test.test_smtplib.A.test_two)
What it does. ... FAIL
test_old (test.test_smtplib.B) ... something it printed
ok
test_error (test.test_smtplib.B.test_error) ... ERROR
test_skip (test.test_smtplib.B.test_skip) ... skipped 'no IPv6'
test_hung (test.test_smtplib.B.test_hung) ... 
======================================================================
ERROR: test_error (test.test_smtplib.B.test_error)
----------------------------------------------------------------------
why
test_late (test.test_smtplib.B.test_late) ... ok

======================================================================
FAIL: test_two (test.test_smtplib.A.test_two)
`))
	got := report.Verdicts
	want := Verdicts{
		"A.test_one": "pass", "A.test_two": "fail", "B.test_old": "pass", "B.test_error": "fail",
		"B.test_skip": "skip", "B.test_hung": "fail",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := report.Output["B.test_error"]; !strings.Contains(got, "why\n") {
		t.Errorf("output %q", got)
	}
}

func TestChanged(t *testing.T) {
	a, b := Verdicts{"same": "pass", "worse": "pass", "gone": "pass"}, Verdicts{"same": "pass", "worse": "fail", "new": "fail"}
	if n := a.Changed(b); n != 3 {
		t.Errorf("%d changed, want 3: worse, gone and new", n)
	}
	if n := a.Changed(a); n != 0 {
		t.Errorf("%d changed against itself", n)
	}
}
