package daemon

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kanmon/internal/event"
	"kanmon/internal/policy/content"
)

const scanned = `
[intercept]
sources = ["10.1.0.0/16"]

[[sending_ip]]
address = "203.0.113.10"
ehlo    = "a.example.jp"

[[sending_ip]]
address = "203.0.113.11"
ehlo    = "b.example.jp"

[pool.default]
ips = ["203.0.113.10"]

[pool.risk]
ips       = ["203.0.113.11"]
high_risk = true

[[tenant]]
name           = "acme"
sources        = ["10.1.0.0/24"]
scan           = "sample"
scanners       = ["clamd"]
busy           = "defer"
on_virus       = "defer"
on_reject      = "divert"
on_soft_reject = "accept"
on_spam        = "accept"
prepend        = ["Feedback-ID: acme", "X-Tag: 1"]

[[tenant]]
name    = "blue"
sources = ["10.1.1.0/24"]
scan    = "all"

[[tenant]]
name    = "unseen"
sources = ["10.1.2.0/24"]

[[scanner]]
name        = "rspamd"
type        = "rspamd"
url         = "http://127.0.0.1:1"
settings_id = "outbound"
at_once     = 3
largest     = "1MiB"
unavailable = "accept"
too_large   = "defer"

[[scanner]]
name = "clamd"
type = "clamd"
url  = "unix:/nowhere"

[[scanner]]
name = "filter"
type = "milter"
url  = "tcp://127.0.0.1:1"

[content]
enforce        = true
hold_memory    = "32MiB"
hold_message   = "2MiB"
verdict_within = "5s"
dot_within     = "1m"
sample         = 33
`

func TestContentIsJudgedAsConfigured(t *testing.T) {
	cfg := configOf(t, scanned)
	busy := content.DeferAll
	want := content.Settings{
		Enforce: true, Sample: 33, Hold: 2 << 20, Verdict: 5 * time.Second, Dot: time.Minute, Pool: "risk",
		Scanners: map[string]*content.Scanner{
			"rspamd": {Largest: 1 << 20, Lacks: content.Lacks{Unavailable: content.AcceptAll, TooLarge: content.DeferAll}},
			"clamd":  {Largest: 8 << 20}, "filter": {Largest: 8 << 20}, // a quarter of hold_memory
		},
		Tenants: map[string]*content.Tenant{
			"acme": {
				Mode: content.Sample, Scanners: []string{"clamd"}, Lacks: [3]*content.Lack{2: &busy}, OnVirus: event.HandleDefer, OnReject: event.HandleDivert,
				OnSoftReject: event.HandleAccept, OnSpam: event.HandleAccept, Fields: []byte("Feedback-ID: acme\r\nX-Tag: 1\r\n"),
			},
			"blue": {
				Mode: content.All, OnVirus: event.HandleRefuse, OnReject: event.HandleRefuse, OnSoftReject: event.HandleDefer, OnSpam: event.HandleDivert,
			},
		},
	}
	if diff := cmp.Diff(want, contentOf(cfg)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	all, err := scannersOf(cfg)
	if err != nil || len(all) != 3 {
		t.Fatal(all, err)
	}
	if one := all[0]; one.Name != "rspamd" || one.AtOnce != 3 || one.Largest != 1<<20 || one.Within != 5*time.Second {
		t.Errorf("%+v", one)
	}
}

func TestGenerationsShareTheScannersThatTheyHaveInCommon(t *testing.T) {
	d := New(configOf(t, scanned), nil)
	same := configOf(t, scanned)
	same.Content.Sample = 50
	other := configOf(t, scanned)
	other.Scanners[0].AtOnce = 4
	none := configOf(t, "[intercept]\nsources = ['10.1.0.0/16']\n")
	first, err := d.judge(d.cfg)
	if err != nil {
		t.Fatal(err)
	}
	second, err := d.judge(same)
	if err != nil || second.room != first.room || second.Judge == first.Judge {
		t.Errorf("another sample has other scanners: %v", err)
	}
	first.close(&d.judging)
	third, err := d.judge(other)
	if err != nil || third.room == second.room {
		t.Errorf("other scanners are the same ones: %v", err)
	}
	second.close(&d.judging)
	third.close(&d.judging)
	if nothing, err := d.judge(none); nothing != nil || err != nil {
		t.Errorf("nobody's mail is scanned: %v, %v", nothing, err)
	}
	again, err := d.judge(other)
	if err != nil || again.room == third.room {
		t.Errorf("scanners that have ended are used again: %v", err)
	}
	again.close(&d.judging)
}

// A configuration that was built, and did not come to take the place of the one before, decides nothing: not of late verdicts either.
func TestLateVerdictsCountAsTheGenerationSaysThatLeads(t *testing.T) {
	d := New(configOf(t, scanned), nil)
	first, err := d.judge(d.cfg)
	if err != nil {
		t.Fatal(err)
	}
	d.install(&generation{judge: first})
	second, err := d.judge(configOf(t, scanned))
	if err != nil {
		t.Fatal(err)
	}
	if d.judging.leads.Load() != first.Judge {
		t.Error("what has only been built leads")
	}
	second.close(&d.judging)
	d.install(&generation{})
	if d.judging.leads.Load() != nil {
		t.Error("a judge leads, and nobody's mail is scanned")
	}
	first.close(&d.judging)
}

// What messages may take is said by the generation that leads, and two of them have one memory.
func TestGenerationsShareTheMemoryForMessages(t *testing.T) {
	d := New(configOf(t, scanned), nil) // 32 MiB
	other := configOf(t, scanned)
	other.Content.HoldMemory, other.Scanners[0].AtOnce = 16<<20, 4
	first, err := d.judge(d.cfg)
	if err != nil {
		t.Fatal(err)
	}
	d.judging.lead(first)
	second, err := d.judge(other)
	if err != nil {
		t.Fatal(err)
	}
	taken := first.budget.Ask("acme", 8<<20) // a tenant's part of the first one
	if !taken.Granted() {
		t.Error("a generation that does not lead yet has its say")
	}
	d.judging.lead(second)
	if octets, _, _ := second.budget.Taken(); octets != 8<<20 {
		t.Errorf("the second generation has a memory of its own, of which %d octets are taken", octets)
	}
	if first.budget.Ask("blue", 5<<20).Granted() {
		t.Error("a tenant has more than its part of what there is now")
	}
	taken.Give()
	first.close(&d.judging)
	second.close(&d.judging)
}
