package interop

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// A Report is what one run of a suite said.
type Report struct {
	Verdicts Verdicts
	Output   map[string]string // what tests printed, or why they failed, by test name
}

// goReport reads the events of test2json. A test without an end (a crash, a time-out) has failed.
func goReport(events []byte) (Report, error) {
	r := Report{Verdicts{}, map[string]string{}}
	for dec := json.NewDecoder(bytes.NewReader(events)); ; {
		var e struct{ Action, Test, Output string }
		if err := dec.Decode(&e); errors.Is(err, io.EOF) {
			return r, nil
		} else if err != nil {
			return r, fmt.Errorf("reading test events: %w", err)
		}
		switch {
		case e.Test == "":
		case e.Action == "run":
			r.Verdicts[e.Test] = "fail"
		case e.Action == "output":
			r.Output[e.Test] += e.Output
		case e.Action == "pass", e.Action == "fail", e.Action == "skip":
			r.Verdicts[e.Test] = Verdict(e.Action)
		}
	}
}

var goHung = regexp.MustCompile(`(?m)^\t+(Test\w+)(?:/\S*)? \([\w.]+\)$`)

// hung lists the tests that were running when package testing's own time-out ended the run.
func (r Report) hung() []string {
	var names []string
	for _, text := range r.Output {
		if _, running, found := strings.Cut(text, "\n\trunning tests:\n"); found {
			running, _, _ = strings.Cut(running, "\n\n") // the goroutines' stacks follow
			for _, m := range goHung.FindAllStringSubmatch(running, -1) {
				names = append(names, m[1])
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// A test's line of unittest -v: "test_name (module.Class.test_name)", its docstring's first line on a line of its
// own if it has one, " ... ", whatever the test itself printed, and the verdict.
var (
	pythonTest    = regexp.MustCompile(`(?m)^(\w+) \(test\.test_smtplib\.([\w.]+)\)`)
	pythonFailed  = regexp.MustCompile(`(?m)^(?:FAIL|ERROR): (\w+) \(test\.test_smtplib\.([\w.]+)\)`)
	pythonVerdict = regexp.MustCompile(`(?m)(?:^|\.\.\. )(ok|FAIL|ERROR|skipped .*|expected failure|unexpected success)$`)
)

// pythonReport reads the output of unittest -v.
func pythonReport(out []byte) Report {
	body, failures, _ := bytes.Cut(out, []byte("\n======")) // the tracebacks of the failures follow
	r := Report{Verdicts{}, map[string]string{}}
	at := pythonTest.FindAllSubmatchIndex(body, -1)
	for i, m := range at {
		end := len(body)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		r.Verdicts[pythonName(body, m)] = pythonWord(pythonVerdict.FindSubmatch(body[m[1]:end]))
	}
	for _, failure := range bytes.Split(failures, []byte("\n======")) {
		if m := pythonFailed.FindSubmatchIndex(failure); m != nil {
			r.Output[pythonName(failure, m)] = string(failure[m[1]:])
		}
	}
	return r
}

// pythonName gives Class.test_name; Python before 3.11 prints only the class in the brackets.
func pythonName(body []byte, m []int) string {
	test, class := string(body[m[2]:m[3]]), string(body[m[4]:m[5]])
	if strings.HasSuffix(class, "."+test) {
		return class
	}
	return class + "." + test
}

func pythonWord(match [][]byte) Verdict {
	if match == nil {
		return "fail"
	}
	switch word := string(match[1]); {
	case word == "ok", word == "expected failure":
		return "pass"
	case strings.HasPrefix(word, "skipped"):
		return "skip"
	default:
		return "fail"
	}
}

// Tests counts the tests of a run that are not subtests.
func (v Verdicts) Tests() int {
	n := 0
	for name := range v {
		if !strings.Contains(name, "/") {
			n++
		}
	}
	return n
}

// Changed counts the tests and subtests whose verdict is not the same in another run.
func (v Verdicts) Changed(other Verdicts) int {
	n := 0
	for _, test := range tests(v, other) {
		if v[test] != other[test] {
			n++
		}
	}
	return n
}
