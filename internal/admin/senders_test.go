package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fakeSenders knows the tenant acme, and notes what is asked of it.
type fakeSenders struct {
	calls []string
	fail  error // of Carry
}

func (f *fakeSenders) note(of Subject, format string, args ...any) error {
	f.calls = append(f.calls, fmt.Sprintf(format, args...)+"|"+of.Tenant+"|"+of.Account)
	if of.Tenant != "" && of.Tenant != "acme" {
		return &Error{http.StatusNotFound, fmt.Errorf("there is no tenant %q", of.Tenant)}
	}
	return nil
}

func (f *fakeSenders) Tenants() ([]Sender, error) { return nil, f.note(Subject{}, "tenants") }

func (f *fakeSenders) Accounts(tenant string) ([]Sender, error) {
	return nil, f.note(Subject{Tenant: tenant}, "accounts")
}

func (f *fakeSenders) Sender(of Subject) (SenderDetail, error) {
	return SenderDetail{Sender: Sender{Subject: of, Level: LevelSlow}, DownIn: time.Hour, Known: true}, f.note(of, "sender")
}

func (f *fakeSenders) Carry(of Subject, o Order, who string) (Subject, error) {
	until := ""
	if !o.Until.IsZero() {
		until = o.Until.UTC().Format(time.DateTime)
	}
	err := f.note(of, "%s until %q, %s %d, because %s, by %s", o.Do, until, o.Limit, o.Amount, o.Reason, who)
	of.Tenant = "acme"
	return of, errors.Join(err, f.fail)
}

func (f *fakeSenders) Changes(of Subject, ip netip.Addr, most int) ([]Change, error) {
	return nil, f.note(of, "changes %d", most)
}

func TestSendersCommands(t *testing.T) {
	var senders fakeSenders
	path, log := serve(t, nil, &senders)
	c, ctx := NewClient(path), t.Context()
	odd := Subject{Tenant: "acme", Account: `"a/b c"@acme.example`}
	if all, err := c.Tenants(ctx); err != nil || all == nil || len(all) != 0 {
		t.Errorf("tenants: %v, %v", all, err)
	}
	if all, err := c.Accounts(ctx, "acme"); err != nil || all == nil || len(all) != 0 {
		t.Errorf("accounts: %v, %v", all, err)
	}
	want := SenderDetail{Sender: Sender{Subject: odd, Level: LevelSlow}, DownIn: time.Hour, Known: true}
	got, err := c.Sender(ctx, odd)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("sender: %v\n%s", err, diff)
	}
	end := time.Date(2099, 7, 1, 18, 0, 0, 0, time.FixedZone("", 9*3600))
	null := Subject{Account: "<>"}
	for _, o := range []Order{
		{Do: "block", Until: end, Reason: "stolen password"},
		{Do: "block", Reason: "x"},
		{Do: "unblock"},
		{Do: "exempt", Reason: "y"},
		{Do: "unexempt"},
		{Do: "limit", Limit: "hour", Amount: 50},
		{Do: "limit", Limit: "hour", Reason: "z"},
	} {
		if x, err := c.Carry(ctx, null, o); err != nil || x.Subject != (Subject{"acme", "<>"}) {
			t.Errorf("%+v: %+v, %v", o, x, err)
		}
	}
	if all, err := c.Changes(ctx, Subject{Tenant: "acme"}, netip.Addr{}, 3); err != nil || all == nil {
		t.Errorf("changes: %v, %v", all, err)
	}
	var calls []string
	for _, call := range senders.calls {
		if !strings.HasPrefix(call, "sender|acme|<>") { // the answer to each order
			calls = append(calls, strings.ReplaceAll(call, ", by "+peerNameOfTest(t), ", by me"))
		}
	}
	if diff := cmp.Diff([]string{
		"tenants||", "accounts|acme|", "sender|acme|" + odd.Account,
		`block until "2099-07-01 09:00:00",  0, because stolen password, by me||<>`, `block until "",  0, because x, by me||<>`,
		`unblock until "",  0, because , by me||<>`, `exempt until "",  0, because y, by me||<>`, `unexempt until "",  0, because , by me||<>`,
		`limit until "", hour 50, because , by me||<>`, `limit until "", hour 0, because z, by me||<>`, "changes 3|acme|",
	}, calls); diff != "" {
		t.Error(diff)
	}
	if n := strings.Count(log.String(), "changed by the operator"); n != 7 || !strings.Contains(log.String(), "who="+peerNameOfTest(t)) {
		t.Errorf("logged:\n%s", log)
	}
}

func TestSendersErrors(t *testing.T) {
	senders := fakeSenders{}
	path, _ := serve(t, nil, &senders)
	c := NewClient(path)
	for _, test := range []struct {
		request, body string
		status        int
		want          string
	}{
		{"GET /v1/tenants/blue", "", 404, `there is no tenant "blue"`},
		{"GET /v1/accounts?tenant=blue", "", 404, `there is no tenant "blue"`},
		{"POST /v1/tenants/blue/unblock", "{}", 404, `there is no tenant "blue"`},
		{"POST /v1/tenants/acme/frobnicate", "{}", 404, `"frobnicate" cannot be done`},
		{"POST /v1/tenants/acme/block", "", 400, `want a JSON object`},
		{"POST /v1/tenants/acme/block", `{}`, 400, `a block wants a "reason"`},
		{"POST /v1/tenants/acme/block", `{"reason":"x"} {"for":"2h"}`, 400, `behind it`},
		{"POST /v1/tenants/acme/block", `{"reason":" "}`, 400, `a block wants a "reason"`},
		{"POST /v1/tenants/acme/block", `{"reason":"x","for":"soon"}`, 400, `"for" is "soon", want a duration`},
		{"POST /v1/tenants/acme/block", `{"reason":"x","for":"-2h"}`, 400, `want a duration`},
		{"POST /v1/tenants/acme/block", `{"reason":"x","until":"2026-01-01T00:00:00Z"}`, 400, `want a time to come`},
		{"POST /v1/tenants/acme/block", `{"reason":"x","until":"noon"}`, 400, `want a time to come`},
		{"POST /v1/tenants/acme/block", `{"reason":"x","for":"2h","until":"2099-01-01T00:00:00Z"}`, 400, `not both`},
		{"POST /v1/tenants/acme/block", `{"reason":"x","amount":3}`, 400, `block is about no limit`},
		{"POST /v1/tenants/acme/block", `{"reason":"x","kind":"list"}`, 400, `block is about no kind`},
		{"POST /v1/tenants/acme/kind", `{"reason":"x"}`, 400, `"kind" is "", want list, forwarder, none, or default`},
		{"POST /v1/tenants/acme/kind", `{"reason":"x","kind":"lists"}`, 400, `"kind" is "lists", want list`},
		{"POST /v1/tenants/acme/kind", `{"kind":"list"}`, 400, `a kind wants a "reason"`},
		{"POST /v1/tenants/acme/kind", `{"reason":"x","kind":"list","for":"2h"}`, 400, `kind has no end`},
		{"POST /v1/tenants/acme/block", `{"reason":"two\nlines"}`, 400, `in one line`},
		{"POST /v1/tenants/acme/block", `{"reason":"` + strings.Repeat("x", maxReason+1) + `"}`, 400, `at most 255 octets`},
		{"POST /v1/tenants/acme/unblock", `{"for":"2h"}`, 400, `unblock has no end`},
		{"POST /v1/tenants/acme/unexempt", `{"until":"2099-01-01T00:00:00Z"}`, 400, `unexempt has no end`},
		{"POST /v1/tenants/acme/limit", `{"limit":"hour"}`, 400, `its "amount"`},
		{"POST /v1/tenants/acme/limit", `{"amount":5}`, 400, `want the "limit"'s name`},
		{"POST /v1/tenants/acme/limit", `{"limit":"hour","amount":-5}`, 400, `"amount" is -5`},
		{"POST /v1/tenants/acme/limit", `{"limit":"hour","amount":1.5}`, 400, `not understood`},
		{"POST /v1/tenants/acme/block", `{"raeson":"x"}`, 400, `unknown field`},
		{"GET /v1/tenants/" + strings.Repeat("x", maxSubject+1), "", 400, `is no tenant and no account`},
		{"GET /v1/accounts/a%0Ab", "", 400, `is no tenant and no account`},
		{"GET /v1/accounts/a%FFb", "", 400, `is no tenant and no account`},
		{"GET /v1/audit?most=0", "", 400, `"most" is "0", want 1 to 10000`},
		{"GET /v1/audit?most=many", "", 400, `"most" is "many"`},
		{"DELETE /v1/tenants/acme", "", 405, ``},
	} {
		method, target, _ := strings.Cut(test.request, " ")
		status, answer := request(t, c, method, target, test.body)
		if status != test.status || test.want != "" && !strings.Contains(answer, test.want) {
			t.Errorf("%.60s %.60s: %d %q, want %d %s", test.request, test.body, status, answer, test.status, test.want)
		}
	}
	for _, call := range senders.calls {
		if !strings.HasSuffix(call, "|blue|") {
			t.Errorf("a wrong request came through: %s", call)
		}
	}
}

// request gives the status, and the text of an error.
func request(t *testing.T, c *Client, method, target, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://kanmon"+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var f failure
	_ = json.NewDecoder(resp.Body).Decode(&f)
	return resp.StatusCode, f.Error
}

// What is in force and could not be kept is neither success nor the operator's fault, and the log has it.
func TestOrderThatCannotBeKept(t *testing.T) {
	senders := fakeSenders{fail: errors.New("the change is active but not saved: disk full")}
	path, log := serve(t, nil, &senders)
	status, answer := request(t, NewClient(path), http.MethodPost, "/v1/tenants/acme/block", `{"reason":"x"}`)
	if status != http.StatusInternalServerError || !strings.Contains(answer, "the change is active but not saved") || !strings.Contains(log.String(), "disk full") {
		t.Errorf("%d %q, log %s", status, answer, log)
	}
}
