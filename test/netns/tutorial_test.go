package netns

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"kanmon/test/netlab"
)

// Who follows the tutorial on the host of a mail server sees mail go through kanmon as the page says, with nothing changed but TLS, and has
// mail that leaves directly again behind the last step.
//
// page: docs/start/tutorial.md
func TestTutorialObservesAndRollsBack(t *testing.T) {
	page, err := os.ReadFile("../../docs/start/tutorial.md")
	must(t, err)
	written := regexp.MustCompile(`(?m)^ +\[intercept\]\n(?: +\w.*\n)+`).FindString(string(page))
	if written == "" {
		t.Fatal("the page has no configuration")
	}
	for _, command := range []string{"kanmon check", "systemctl start kanmon", "systemctl start kanmon-rules", "kanmon status", "kanmon rules remove", "systemctl stop kanmon"} {
		if !strings.Contains(string(page), "    "+command+"\n") {
			t.Errorf("the page has no step %q", command)
		}
	}
	world, mx := newWorld(t, 1)
	host := world.MSAs[0]
	msa := newMSA(t, host, "may")
	kanmon, err := netlab.NewKanmon(host, "")
	must(t, err)
	must(t, kanmon.Write(written))
	kanmon.User = netlab.UnprivilegedUser
	for _, variable := range []string{"STATE_DIRECTORY", "LOGS_DIRECTORY", "RUNTIME_DIRECTORY"} {
		kanmon.Env = append(kanmon.Env, variable+"="+kanmon.Folder())
	}
	if answer, err := kanmon.Check(); err != nil || !strings.Contains(answer, "[rules-not-applied]") {
		t.Errorf("check: %v: %s", err, answer)
	}
	must(t, kanmon.Start())
	rules(t, kanmon, "apply")
	answer, err := host.Run("env", "KANMON_RULES_STATE="+kanmon.Folder()+"/rules", netlab.Program(), "rules", "status")
	if said := fmt.Sprint(answer, err); err == nil || !strings.Contains(said, "guard") {
		t.Errorf("rules status without a guard: %s", said)
	}
	attempt, stored := deliver(t, msa, mx, note("through", netlab.Domain(1, false)))
	expectReceived(t, stored, "from msa1.example ", "using TLSv1.3")
	dialogue(t, kanmon, attempt.RemoteQueueID())

	rules(t, kanmon, "remove")
	must(t, kanmon.Stop(20*time.Second))
	attempt, _ = deliver(t, msa, mx, note("directly", netlab.Domain(1, false)))
	if strings.Contains(kanmon.SessionLog(), attempt.RemoteQueueID()) {
		t.Error("the mail behind the last step went through kanmon")
	}
}
