package netns

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"kanmon/test/netlab"
)

// Five lines are a complete gateway where the service manager gives the directories: mail passes from the sending IP, the session log and the
// records have it, what is learnt is kept in files, and the admin socket answers.
//
// firstday-18
func TestFiveLinesAreACompleteGateway(t *testing.T) {
	world, mx := newWorld(t, 1)
	msa := newMSA(t, world.MSAs[0], "may")
	kanmon := newKanmon(t, world)
	must(t, kanmon.Write(`[intercept]
sources = ["10.20.0.0/16"]
[[sending_ip]]
address = "203.0.113.10"
ehlo    = "out10.example"
`))
	kanmon.User = netlab.UnprivilegedUser
	for _, variable := range []string{"STATE_DIRECTORY", "LOGS_DIRECTORY", "RUNTIME_DIRECTORY"} {
		kanmon.Env = append(kanmon.Env, variable+"="+kanmon.Folder())
	}
	rules(t, kanmon, "apply")
	must(t, kanmon.Start())

	attempt, stored := deliver(t, msa, mx, note("five-lines", netlab.Domain(1, false)))
	expectReceived(t, stored, "from out10.example ", "[203.0.113.10]")
	dialogue(t, kanmon, attempt.RemoteQueueID())
	if answer, err := kanmon.IP("list", "--socket", kanmon.Socket()); err != nil {
		t.Errorf("ip list: %v: %s", err, answer)
	}
	must(t, kanmon.Stop(20*time.Second))
	if kanmon.Records() == "" {
		t.Error("no records")
	}
	for _, name := range []string{"standing.db", "senders.db"} {
		if _, err := os.Stat(filepath.Join(kanmon.Folder(), name)); err != nil {
			t.Error(err)
		}
	}
}
