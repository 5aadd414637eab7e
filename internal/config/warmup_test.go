package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestBadPlans(t *testing.T) {
	compareErrors(t, "testdata/bad_plans/*.toml", 2, func(doc []byte) error {
		_, errs := ParseWarmUpPlan("plan.toml", doc)
		return errs
	})
}

func TestTheStandardPlanIsAGoodOne(t *testing.T) {
	plan, errs := ParseWarmUpPlan("standard.toml", standardPlan)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if len(plan.Days) != 30 || !strings.Contains(plan.Source, "SendGrid") {
		t.Errorf("%d days, source %q", len(plan.Days), plan.Source)
	}
	for i := range plan.Days[1:] {
		if was, is := plan.Days[i], plan.Days[i+1]; is.Provider >= 2*was.Provider || is.Others >= 2*was.Others {
			t.Errorf("day %d is twice the day before: %+v, %+v", i+2, was, is)
		}
	}
}

func TestThePageHasTheStandardPlan(t *testing.T) {
	text, err := os.ReadFile("../../docs/howto/warm-up.md")
	if err != nil {
		t.Fatal(err)
	}
	plan, _ := ParseWarmUpPlan("standard.toml", standardPlan)
	for i, day := range plan.Days {
		if row := fmt.Sprintf("\n| %d | %.3g %% | %d | %d |\n", i+1, 100*day.Share, day.Provider, day.Others); !strings.Contains(string(text), row) {
			t.Errorf("the page lacks %s", row)
		}
	}
}

func TestAPlanOfOnesOwnIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plan.toml")
	if err := os.WriteFile(path, []byte("[[day]]\nshare = 0.5\nprovider = 3\nothers = 4\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const ip = "[[sending_ip]]\naddress = \"203.0.113.%\"\nehlo = \"out.example.jp\"\n"
	cfg, err := Parse("kanmon.toml", []byte(strings.ReplaceAll(ip, "%", "10")+"warm_up = { start = 2026-12-01, plan = '"+path+"' }\n"+
		strings.ReplaceAll(ip, "%", "11")+"warm_up.start = 2026-12-02\n"+strings.ReplaceAll(ip, "%", "12")))
	if err != nil {
		t.Fatal(err)
	}
	own, standard, none := &cfg.SendingIPs[0], &cfg.SendingIPs[1], &cfg.SendingIPs[2]
	if got := cfg.WarmUpPlan(own); len(got.Days) != 1 || got.Days[0] != (WarmUpDay{0.5, 3, 4}) {
		t.Errorf("own plan %+v", got)
	}
	if got := cfg.WarmUpPlan(standard); len(got.Days) != 30 || standard.WarmUp.Plan != StandardPlan {
		t.Errorf("the default plan is %q with %d days", standard.WarmUp.Plan, len(got.Days))
	}
	if !own.WarmUp.Start.Equal(time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)) || none.Warms() || !own.Warms() {
		t.Errorf("starts %v, without one %v", own.WarmUp.Start, none.Warms())
	}
}
