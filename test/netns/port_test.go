package netns

import (
	"strings"
	"testing"
	"time"
)

// TestReloadOfThePortUnderLoad changes the port that kanmon listens on, under steady mail: the new listener is there before the rules lead to it, the old one
// until nothing comes to it any more, and no session is refused. Where somebody else manages the rules, the reload says what must be run.
//
// firstday-5 law: I15
func TestReloadOfThePortUnderLoad(t *testing.T) {
	for name, managed := range map[string]bool{"rules by kanmon": true, "rules by the operator": false} {
		t.Run(name, func(t *testing.T) {
			w := newPooledWorld(t)
			intercept := forwardedRedirect
			if managed {
				intercept += "manage_rules = true\n"
			}
			must(t, w.kanmon.Configure(w.config(intercept)))
			must(t, w.kanmon.Start())
			stop := w.load()
			eventually(t, "fifty mails", func() bool { return w.number.Load() > 50 })

			must(t, w.kanmon.Configure(w.config(strings.ReplaceAll(intercept, ":10025", ":10026"))))
			begun := time.Now()
			said, err := w.kanmon.Ask("reload")
			if err != nil || strings.Contains(said, "systemctl reload kanmon-rules") == managed {
				t.Errorf("kanmon reload (%v) said:\n%s", err, said)
			}
			if !managed {
				number := w.number.Load()
				eventually(t, "fifty mails by the rules of before", func() bool { return w.number.Load() > number+50 })
				rules(t, w.kanmon, "apply")
			}
			closed := w.logged(t, begun, "listener closed: it is in the configuration no more")
			number := w.number.Load()
			eventually(t, "fifty mails behind it", func() bool { return w.number.Load() > number+50 })
			outcomes := stop()
			for _, o := range outcomes {
				if !o.Accepted() {
					t.Errorf("a session of %s ended at %s: %d %s", o.Began.Format(time.StampMilli), o.Step, o.Code, o.Text)
				}
			}
			t.Logf("%d sessions, all accepted; the old listener was closed %s behind the reload", len(outcomes), closed.Sub(begun).Round(time.Millisecond))

			must(t, w.kanmon.Configure(w.config(intercept)+"colour = 'blue'\n"))
			if said, err = w.kanmon.Ask("reload"); err == nil || !strings.Contains(err.Error()+said, "colour: unknown key") {
				t.Errorf("a reload of a wrong file: %v, and it said:\n%s", err, said)
			}
			if o := w.send(1); !o.Accepted() {
				t.Errorf("behind it a mail ended at %s: %d %s", o.Step, o.Code, o.Text)
			}
		})
	}
}
