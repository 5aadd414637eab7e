package policy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"kanmon/internal/policy/contain"
	file "kanmon/internal/store"
)

// childEnv makes this binary another process: of the task that it names, with the file that follows.
const childEnv = "POLICY_TEST_CHILD"

func TestMain(m *testing.M) {
	if task, path, ok := strings.Cut(os.Getenv(childEnv), " "); ok {
		if err := map[string]func(string) error{"change": childChanges, "append": childAppends, "order": childOrders}[task](path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// childChanges does what operators do, says so, and waits to be killed.
func childChanges(path string) error {
	store, err := OpenStore(path)
	if err != nil {
		return err
	}
	p, err := over(store)
	if err != nil {
		return err
	}
	if err := errors.Join(
		p.Block(bob, time.Time{}, "alice", "stolen password"),
		p.Exempt(acme, time.Now().Add(time.Hour), "alice", "newsletter day"),
		p.SetLimit(bob, "account-hour", 7, "carol", "asked for"),
	); err != nil {
		return err
	}
	fmt.Println("written")
	_, err = os.Stdin.Read(make([]byte, 1)) // until killed, or until the test is gone
	return err
}

func childAppends(path string) error {
	store, err := OpenStore(path)
	if err != nil {
		return err
	}
	fmt.Println("open")
	for i := range appends {
		if err := added(store, Change{At: changed, By: "child", Subject: bob, Did: "block", Why: fmt.Sprint(i)}); err != nil {
			return err
		}
	}
	return store.Close()
}

// appends is how many changes each of two processes makes.
const appends = 20

// child starts this binary with a task, and waits for the first line that it says.
func child(t *testing.T, task, path, says string) *exec.Cmd {
	t.Helper()
	cmd, out := started(t, task, path)
	if line, err := out.ReadString('\n'); err != nil || line != says+"\n" {
		t.Errorf("child: %q, %v", line, err)
	}
	return cmd
}

// started starts this binary with a task, and gives what it says.
func started(t *testing.T, task, path string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env, cmd.Stderr = append(os.Environ(), childEnv+"="+task+" "+path), t.Output()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stdin.Close() })
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewReader(out)
}

func TestKilledProcessLosesNoChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.db")
	cmd := child(t, "change", path, "written")
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the child was not killed")
	}

	p, err := over(open(t, path))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	x := p.Explain(bob)
	if x.Block == nil || x.Block.By != "alice" || x.Block.Why != "stolen password" || !x.Answer.Hand || x.Answer.Level != contain.Stop {
		t.Errorf("bob: %+v", x)
	}
	if x := p.Explain(acme); x.Exempt == nil || x.Exempt.Until.IsZero() {
		t.Errorf("acme: %+v", x)
	}
	if u := p.Usages(bob); len(u) != 1 || u[0].Rule.Amount != 7 || u[0].Configured != 100 {
		t.Errorf("limits of bob: %+v", u)
	}
	var did []string
	all, err := p.Audit(contain.Subject{}, netip.Addr{}, 10)
	for _, c := range all {
		did = append(did, c.By+" "+c.Did+" "+c.Subject.String()+" "+c.Why)
	}
	want := []string{"alice block acme/bob@acme.example stolen password", "alice exempt acme newsletter day", "carol limit acme/bob@acme.example asked for"}
	if diff := cmp.Diff(want, did); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

// childOrders does what operators do, one order after the other, and says of each that it is done, while mail is counted and all that changes is
// written all the time.
func childOrders(path string) error {
	store, err := OpenStore(path)
	if err != nil {
		return err
	}
	p, err := over(store)
	if err != nil {
		return err
	}
	go func() {
		for i := 0; ; i++ {
			s := ordered(i % 500)
			_ = p.detector.Exempt(contain.Subject{Tenant: "acme", Account: "busy " + s.Account}, time.Time{}, "evidence", "")
			_ = p.detector.Unexempt(s, "evidence")
			if i%50 == 0 {
				_ = p.saveAll(context.Background())
			}
		}
	}()
	for i := range 10_000 {
		if err := p.Block(ordered(i), time.Time{}, "alice", "stolen"); err != nil {
			return err
		}
		if i%3 == 0 {
			if err := p.Unblock(ordered(i), "alice", "talked"); err != nil {
				return err
			}
		}
		fmt.Println("written", i)
	}
	return errors.New("nobody has killed it")
}

func ordered(i int) contain.Subject {
	return contain.Subject{Tenant: "acme", Account: fmt.Sprintf("o%d@acme.example", i)}
}

// law: I21
//
// audit-E1: whenever a kanmon is killed, in the middle of an order or of all that is written beside it, no order is lost that was said to be done, none
// comes back that was taken back, and the file is whole.
func TestAKillAtAnyMomentLosesNoOrder(t *testing.T) {
	for try := range 5 {
		path := filepath.Join(t.TempDir(), "policy.db")
		cmd, out := started(t, "order", path)
		done := -1
		for done < 7+13*try {
			line, err := out.ReadString('\n')
			if err != nil {
				t.Fatalf("child: %v", err)
			}
			if _, err := fmt.Sscanf(line, "written %d", &done); err != nil {
				t.Fatalf("child says %q", line)
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		for { // what it has said since
			line, err := out.ReadString('\n')
			if err != nil {
				break
			}
			_, _ = fmt.Sscanf(line, "written %d", &done)
		}
		if err := cmd.Wait(); err == nil {
			t.Error("the child was not killed")
		}
		if _, err := file.Check(t.Context(), path); err != nil {
			t.Error(err)
		}
		p, err := over(open(t, path))
		if err != nil {
			t.Fatal(err)
		}
		for i := range done + 1 {
			if blocked := p.Explain(ordered(i)).Block != nil; blocked != (i%3 != 0) {
				t.Errorf("try %d, of %d orders the %dth: blocked %t", try, done+1, i, blocked)
			}
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A second kanmon, or a person with a shell on the file, costs no change of either.
func TestTwoProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.db")
	store := open(t, path)
	cmd := child(t, "append", path, "open")
	for i := range appends {
		if err := added(store, Change{At: changed, By: "parent", Subject: acme, Did: "exempt", Why: fmt.Sprint(i)}); err != nil {
			t.Errorf("parent: %v", err)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("child: %v", err)
	}
	by := map[string]int{}
	all, err := store.Changes(t.Context(), contain.Subject{}, netip.Addr{}, 10*appends)
	for _, c := range all {
		by[c.By]++
	}
	if err != nil || by["parent"] != appends || by["child"] != appends {
		t.Errorf("%v, %v", by, err)
	}
}
