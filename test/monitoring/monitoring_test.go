package monitoring

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write dist/grafana anew")

const (
	rules     = "../../dist/prometheus/kanmon.rules.yml"
	weekTests = "testdata/kanmon.week.test.yml"
	ruleTests = "testdata/kanmon.rules.test.yml"
	runbooks  = "../../docs/howto/alerts.md"
	grafana   = "../../dist/grafana"
)

// promtool runs Debian's, as make setup has unpacked it.
func promtool(t *testing.T, stdin []byte, arguments ...string) string {
	t.Helper()
	cache := cmp.Or(os.Getenv("KANMON_TEST_CACHE"), filepath.Join(cmp.Or(os.Getenv("XDG_CACHE_HOME"), "/var/cache"), "kanmon-test"))
	cmd := exec.Command(filepath.Join(cache, "monitoring", "usr", "bin", "promtool"), arguments...)
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("promtool %s (make setup has it): %v\n%s", strings.Join(arguments, " "), err, out)
	}
	return string(out)
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The rules are rules.
func TestRulesAreSound(t *testing.T) {
	promtool(t, nil, "check", "rules", rules)
}

// Each alert fires where it must, and not before.
func TestAlertsFireAsTheyMust(t *testing.T) {
	promtool(t, nil, "test", "rules", ruleTests, weekTests)
	tests := read(t, ruleTests) + read(t, weekTests)
	for _, alert := range alerts(t) {
		if n := strings.Count(tests, `ALERTS{alertname="`+alert+`"`) + strings.Count(tests, "alertname: "+alert); n < 2 {
			t.Errorf("%s: %s is not seen to fire, and not to", ruleTests, alert)
		}
	}
}

func alerts(t *testing.T) (names []string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?m)^ +- alert: (\w+)$`).FindAllStringSubmatch(read(t, rules), -1) {
		if !slices.Contains(names, m[1]) {
			names = append(names, m[1])
		}
	}
	if len(names) < 20 {
		t.Fatalf("%d alerts in %s", len(names), rules)
	}
	return names
}

// Every alert has its heading among the runbooks, leads there, and nothing else has one.
func TestEveryAlertHasItsRunbook(t *testing.T) {
	text, page := read(t, rules), read(t, runbooks)
	known := alerts(t)
	for _, alert := range known {
		if strings.Count(page, "\n## "+alert+"\n") != 1 {
			t.Errorf("%s has no heading %s", runbooks, alert)
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^## (\w+)$`).FindAllStringSubmatch(page, -1) {
		if !slices.Contains(known, m[1]) {
			t.Errorf("%s: there is no alert %s", runbooks, m[1])
		}
	}
	for _, block := range strings.Split(text, "- alert: ")[1:] {
		name, _, _ := strings.Cut(block, "\n")
		for _, want := range []string{"severity: ", "summary: ", "description: ", "runbook_url: file:///usr/share/doc/kanmon/docs/howto/alerts.md#" + strings.ToLower(name) + "\n"} {
			if !strings.Contains(block, want) {
				t.Errorf("%s: %s has no %q", rules, name, want)
			}
		}
	}
}

// The names of all metrics are as Prometheus wants them.
func TestMetricsAreNamedAsPrometheusWants(t *testing.T) {
	if out := promtool(t, []byte(exposed()), "check", "metrics"); strings.TrimSpace(out) != "" {
		t.Error(out)
	}
}

// The dashboards that are shipped are those of the tables.
func TestDashboards(t *testing.T) {
	for i := range dashboards {
		d := &dashboards[i]
		text, err := d.json()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(grafana, d.file)
		if *update {
			if err := os.WriteFile(path, text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := read(t, path); got != string(text) {
			t.Errorf("%s is another one: go test ./test/monitoring -run TestDashboards -update", path)
		}
		if !json.Valid(text) {
			t.Errorf("%s is no JSON", path)
		}
	}
	shipped, err := filepath.Glob(grafana + "/*.json")
	if err != nil || len(shipped) != len(dashboards) {
		t.Errorf("%v are shipped (%v), %d are known", shipped, err, len(dashboards))
	}
}

// shippedQueries are those of rules and dashboards, with where they stand.
func shippedQueries(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for i, rule := range strings.Split(read(t, rules), "- record: ")[1:] {
		all[fmt.Sprintf("recording rule %d", i+1)] = exprOf(rule)
	}
	for _, rule := range strings.Split(read(t, rules), "- alert: ")[1:] {
		name, _, _ := strings.Cut(rule, "\n")
		all["alert "+name+" "+exprOf(rule)[:9]] = exprOf(rule)
	}
	for _, d := range dashboards {
		for _, p := range d.panels {
			for i, q := range p.queries {
				all[fmt.Sprintf("%s, %s, %d", d.file, p.title, i+1)] = q.expr
			}
		}
		if d.variable != "" {
			all[d.file+", its variable"] = fmt.Sprintf("sum by (%s) (%s)", d.variable, d.of)
		}
	}
	for i, a := range annotations {
		all[fmt.Sprintf("annotation %d", i+1)] = a.expr
	}
	return all
}

func exprOf(rule string) string {
	_, expr, _ := strings.Cut(rule, "expr: ")
	for _, end := range []string{"\n        for:", "\n        labels:", "\n      - ", "\n      #", "\n  - "} {
		expr, _, _ = strings.Cut(expr, end)
	}
	return strings.TrimSpace(strings.TrimPrefix(expr, "|"))
}

var (
	nameInQuery  = regexp.MustCompile(`[a-z_]*:?(?:kanmon|go|process|promhttp)_[a-z0-9_]*(?::[a-z0-9_]+)?`)
	matchers     = regexp.MustCompile(`([a-z_]*:?(?:kanmon|go|process|promhttp)_[a-z0-9_]*(?::[a-z0-9_]+)?)\{([^}]*)\}`)
	grouping     = regexp.MustCompile(`\b(?:by|on|group_left|without) \(([a-z_, ]*)\)`)
	labelMatcher = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)\s*"`)
)

// Every query names metrics that kanmon has, or the rules record, and labels that those have.
func TestQueriesFitTheMetrics(t *testing.T) {
	has := labelsOf(t)
	for where, expr := range shippedQueries(t) {
		var within []string
		names := nameInQuery.FindAllString(expr, -1)
		if len(names) == 0 && !strings.HasPrefix(expr, "up{") {
			t.Errorf("%s: no metric in %q", where, expr)
		}
		for _, name := range names {
			labels, known := has[name]
			if !known {
				t.Errorf("%s: there is no %s", where, name)
			}
			within = append(within, labels...)
		}
		for _, m := range matchers.FindAllStringSubmatch(expr, -1) {
			for _, label := range labelMatcher.FindAllStringSubmatch(m[2], -1) {
				if !slices.Contains(has[m[1]], label[1]) {
					t.Errorf("%s: %s has no label %s", where, m[1], label[1])
				}
			}
		}
		for _, m := range grouping.FindAllStringSubmatch(expr, -1) {
			for label := range strings.SplitSeq(m[1], ",") {
				if label = strings.TrimSpace(label); label != "" && !slices.Contains(within, label) {
					t.Errorf("%s: none of %v has a label %s", where, names, label)
				}
			}
		}
	}
}

// labelsOf gives the labels of each metric that kanmon has and the rules record, with those that Prometheus gives each series.
func labelsOf(t *testing.T) map[string][]string {
	t.Helper()
	ofScrape := []string{"job", "instance"}
	has := map[string][]string{}
	for name, of := range answered(t) {
		has[name] = append(slices.Clone(ofScrape), of.labels...)
		for _, of := range []string{"_bucket", "_count", "_sum"} {
			has[name+of] = append(slices.Clone(has[name]), "le")
		}
	}
	for _, rule := range strings.Split(read(t, rules), "- record: ")[1:] {
		name, _, _ := strings.Cut(rule, "\n")
		by := grouping.FindStringSubmatch(exprOf(rule))
		if by == nil {
			t.Errorf("%s says not by what it is summed", name)
			continue
		}
		for label := range strings.SplitSeq(by[1], ",") {
			if label = strings.TrimSpace(label); label != "le" {
				has[name] = append(has[name], label)
			}
		}
		if level, _, _ := strings.Cut(name, ":"); level != strings.Join(has[name], "_") {
			t.Errorf("%s is of the level %s", name, strings.Join(has[name], "_"))
		}
	}
	return has
}

// The dashboards' queries are PromQL: as rules they can be read.
func TestQueriesOfDashboardsAreSound(t *testing.T) {
	var doc strings.Builder
	doc.WriteString("groups:\n  - name: dashboards\n    rules:\n")
	number := 0
	grafanas := strings.NewReplacer("$__rate_interval", "5m", "$__range", "1h")
	for where, expr := range shippedQueries(t) {
		if strings.Contains(where, ".json") || strings.Contains(where, "annotation") {
			number++
			fmt.Fprintf(&doc, "      - record: query_%d\n        expr: %q\n", number, grafanas.Replace(expr))
		}
	}
	path := filepath.Join(t.TempDir(), "queries.yml")
	if err := os.WriteFile(path, []byte(doc.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, nil, "check", "rules", path)
}
