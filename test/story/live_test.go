package story

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A living is a kanmon that runs, without firewall rules: no mail comes to it, and it does what it is told.
type living struct {
	*shell
	log  string
	cmd  *exec.Cmd
	done chan error
}

// lives starts one beside the history of a shell.
func lives(t *testing.T, x *shell) *living {
	t.Helper()
	dir := t.TempDir()
	socket := filepath.Join(dir, "admin.sock")
	text, err := os.ReadFile(x.config)
	if err != nil {
		t.Fatal(err)
	}
	text = fmt.Appendf(text, `
[pool.default]
ips = ["203.0.113.10"]

[[tenant]]
name    = "borealis"
sources = ["10.20.2.0/24"]

[[tenant]]
name    = "cumulus"
sources = ["10.20.3.0/24"]

[[tenant]]
name    = "dynamo"
sources = ["10.20.4.0/24"]

[standing]
file = %q

[senders]
file = %q

[admin]
socket = %q
`, filepath.Join(dir, "standing.db"), filepath.Join(dir, "senders.db"), socket)
	text = bytes.Replace(text, []byte("sources = [\"10.20.0.0/16\"]"), []byte("listen = [\"127.83.77.1:11025\"]"), 1) // nobody's mail is intercepted
	own := &shell{Ledger: x.Ledger, program: x.program, dir: dir, config: filepath.Join(dir, "kanmon.toml")}
	if err := os.WriteFile(own.config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	l := &living{shell: own, log: filepath.Join(dir, "log")}
	l.begin(t)
	t.Cleanup(func() {
		if l.cmd != nil {
			l.end(t)
		}
	})
	return l
}

func (l *living) begin(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(l.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	l.cmd, l.done = exec.Command(l.program, "run", "--config", l.config), make(chan error, 1)
	l.cmd.Stderr = log
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd, done := l.cmd, l.done
	go func() { done <- cmd.Wait() }()
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if _, _, code := l.run(t, "", "sessions"); code == 0 {
			return
		}
		select {
		case err := <-l.done:
			said, _ := os.ReadFile(l.log)
			t.Fatalf("kanmon has ended: %v\n%s", err, said)
		default:
		}
		if time.Since(began) > time.Minute {
			said, _ := os.ReadFile(l.log)
			t.Fatalf("kanmon does not answer:\n%s", said)
		}
	}
}

func (l *living) end(t *testing.T) {
	t.Helper()
	if err := l.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	select {
	case err := <-l.done:
		if err != nil {
			t.Errorf("kanmon ends with %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("kanmon does not end")
		_ = l.cmd.Process.Kill()
	}
	l.cmd = nil
}

// The halves of the journeys that are about what a gateway does now: each order with its reason, seen at once, in the audit, and undone.
func TestLiveJourneysInTheShell(t *testing.T) {
	x := newShell(t, Options{Seed: 11, PerDay: 100, First: Before(time.Now(), Fortnight)}, "")
	l := lives(t, x)
	for _, is := range []struct {
		name, story string
		most        int // commands
		does        func(*journey)
	}{
		{"4 an IP is listed: who, why, and block", "listed", 4, blocksWhoCausedIt},
		{"5 an account is hacked: explain, block, undo", "hacked", 4, blocksTheHacked},
		{"6 you slow our newsletter: explain, exempt", "newsletter", 3, exemptsTheNewsletter},
		{"7 Gmail defers everybody: resume one IP", "exhausted", 3, resumesOneIP},
		{"12 may we enforce?", "would have", 1, enforces},
	} {
		t.Run(is.name, func(t *testing.T) {
			j := &journey{T: t, shell: l.shell, story: x.Story(is.story)}
			is.does(j)
			if j.typed > is.most {
				t.Errorf("%d commands, want %d", j.typed, is.most)
			}
		})
	}
	t.Run("10 an upgrade", func(t *testing.T) { upgrades(t, l) })
}

func blocksWhoCausedIt(j *journey) {
	j.shows(j.types("", "ip", "show", "203.0.113.10"), "203.0.113.10", "absent")
	j.shows(j.types("", "account", "explain", j.story.Account, "--tenant", j.story.Tenant), "Account "+j.story.Account+" of tenant borealis")
	j.shows(j.types("", "account", "block", j.story.Account, "--tenant", j.story.Tenant, "--for", "24h", "--reason", "its mail has us listed"), "blocked")
	j.shows(j.types("", "audit"), j.story.Account, "its mail has us listed")
}

func blocksTheHacked(j *journey) {
	of := []string{j.story.Account, "--tenant", j.story.Tenant}
	j.shows(j.types("", append([]string{"account", "explain"}, of...)...), "kanmon account block "+j.story.Account)
	j.shows(j.types("", append([]string{"account", "block", "--for", "2h", "--reason", "password stolen"}, of...)...), "blocked")
	j.shows(j.types("", append([]string{"account", "explain"}, of...)...), "Its mail is blocked", "password stolen", "kanmon account unblock")
	j.types("", append([]string{"account", "unblock", "--reason", "password changed"}, of...)...)
}

func exemptsTheNewsletter(j *journey) {
	of := []string{j.story.Account, "--tenant", j.story.Tenant}
	j.shows(j.types("", append([]string{"account", "explain"}, of...)...), "Its mail passes")
	j.types("", append([]string{"account", "exempt", "--for", "24h", "--reason", "they clean their list"}, of...)...)
	j.shows(j.types("", "account", "list"), j.story.Account, "exempt")
}

func resumesOneIP(j *journey) {
	const ip = "203.0.113.10"
	j.types("", "ip", "suspend", ip, "--provider", "google", "--reason", "everybody is deferred")
	j.shows(j.types("", "ip", "list"), ip, "google", "stopped", "everybody is deferred")
	j.types("", "ip", "resume", ip, "--provider", "google", "--reason", "weights of the pool put back")
}

// enforces: what rules that only observe would have done is told to the last mail.
func enforces(j *journey) {
	said := j.types("", append([]string{"would"}, j.span(0, time.Hour)...)...)
	sum := 0
	for account, n := range j.story.Numbers {
		sum += n
		j.shows(said, fmt.Sprintf("%s %d", account, n))
	}
	j.shows(said, fmt.Sprintf("limit observed: would_defer, %d times of %d accounts of 2 tenants", sum, len(j.story.Numbers)))
}

// upgrades: nothing is wrong before, nobody would be cut, the program is started anew, what was ordered still stands, and the timeline has it.
func upgrades(t *testing.T, l *living) {
	j := &journey{T: t, shell: l.shell}
	began := time.Now()
	j.shows(j.types("", "sessions", "--held", "5m"), "0 sessions")
	l.end(t)
	l.begin(t)
	j.shows(j.types("", "account", "list"), l.Story("listed").Account, "blocked")
	if j.typed > 2 {
		t.Errorf("%d commands, want 2", j.typed)
	}
	text, err := os.ReadFile(l.log)
	if err != nil || bytes.Count(text, []byte("msg=started")) != 2 || bytes.Count(text, []byte("msg=stopped")) != 1 || !strings.Contains(string(text), "clean=true") {
		t.Errorf("behind %s: %v\n%s", time.Since(began), err, text)
	}
}
