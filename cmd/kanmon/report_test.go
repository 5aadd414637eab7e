package main

import (
	"encoding/csv"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
)

// A tenant is told of a month in the form and the language that are asked for, and of a time by its days; what is asked wrongly is said.
func TestATenantIsToldOfAMonth(t *testing.T) {
	config := pastOfADay(t)
	for _, c := range []struct {
		args  []string
		there string
	}{
		{[]string{"--month", "2026-07"}, "Outgoing mail of acme"},
		{[]string{"--from", "2026-07-01", "--to", "2026-07-02"}, "2026-07-01"},
		{[]string{"--month", "2026-07", "--lang", "ja"}, "送信メールレポート"},
		{[]string{"--month", "2026-07", "--as", "html"}, "<h1>Outgoing mail of acme</h1>"},
		{[]string{"--month", "2026-07", "--as", "csv"}, "summary,Mails,"},
		{[]string{"--month", "2026-07", "--as", "json"}, `"tenant": "acme"`},
		{[]string{"--month", "2026-07", "--json"}, `"tenant": "acme"`},
	} {
		code, out, wrong := says(t, "", append([]string{"report", "--config", config, "--tenant", "acme"}, c.args...)...)
		if code != 0 || wrong != "" || !strings.Contains(out, c.there) {
			t.Errorf("%v: exit code %d, no %q in\n%s%s", c.args, code, c.there, out, wrong)
		}
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--tenant", "acme", "--month", "july"}, "want a month such as 2026-11"},
		{[]string{"--tenant", "acme", "--month", "2026-07", "--from", "2026-07-01"}, "want one of them"},
		{[]string{"--tenant", "acme", "--from", "2026-07-01"}, "want both --from and --to"},
		{[]string{"--tenant", "acme", "--from", "2026-07-02", "--to", "2026-07-01"}, "the time ends before it begins"},
		{[]string{"--tenant", "acme", "--from", "2026-07-01 10:30", "--to", "2026-07-02"}, "from one full hour to another"},
		{[]string{"--tenant", "acme", "--as", "pdf"}, "--as must be one of"},
		{[]string{"--tenant", "nobody", "--month", "2026-07"}, `no mail of a tenant "nobody" is kept`},
		{nil, "--tenant"},
	} {
		code, out, wrong := says(t, "", append([]string{"report", "--config", config}, c.args...)...)
		if code == 0 || out != "" || !strings.Contains(wrong, c.want) {
			t.Errorf("%v: exit code %d, %s%s; want %q", c.args, code, out, wrong, c.want)
		}
	}
}

// JSON and CSV are read by programs: they are whole, and say the same.
func TestAReportIsReadByPrograms(t *testing.T) {
	config := pastOfADay(t)
	_, text, _ := says(t, "", "report", "--config", config, "--tenant", "acme", "--month", "2026-07", "--json")
	var r struct {
		Total struct {
			Attempts int `json:"attempts"`
		} `json:"total"`
	}
	if err := json.Unmarshal([]byte(text), &r); err != nil || r.Total.Attempts == 0 {
		t.Fatalf("%v, %+v:\n%s", err, r, text)
	}
	_, table, _ := says(t, "", "report", "--config", config, "--tenant", "acme", "--month", "2026-07", "--as", "csv")
	in := csv.NewReader(strings.NewReader(table))
	in.FieldsPerRecord = -1
	rows, err := in.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if row[0] == "summary" && row[1] == "Attempts to deliver" && row[2] == strconv.Itoa(r.Total.Attempts) {
			return
		}
	}
	t.Errorf("CSV does not say %d:\n%s", r.Total.Attempts, table)
}
