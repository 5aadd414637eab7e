package netlab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kanmon/test/built"
)

// dirVariable tells the program that it runs isolated, and in which folder.
const dirVariable = "KANMON_LAB_DIR"

// stopGrace is how long the isolated program may take to end after a signal.
const stopGrace = 10 * time.Second

const signalAgain = 200 * time.Millisecond

// Isolate runs this program again, with the same arguments, in namespaces of its own and waits for it. Then done is
// true and the caller must exit with code. In the isolated program itself done is false: go on.
//
// It builds kanmon beforehand, because the isolated program has no network to fetch modules from. SIGINT and SIGTERM
// are passed on.
func Isolate() (code int, done bool) {
	var err error
	if os.Getenv(dirVariable) != "" {
		err = enter(os.Getenv(dirVariable))
		if err == nil {
			return 0, false
		}
	} else {
		code, err = runIsolated()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "netlab:", err)
		return 1, true
	}
	return code, true
}

func runIsolated() (int, error) {
	if os.Geteuid() != 0 {
		return 0, errors.New("network namespaces need root; run `make test` or `make demo` as root")
	}
	if err := checkTools(); err != nil {
		return 0, err
	}
	// From here on signals must not end this program before it has removed the folder.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)

	// Postfix and kanmon run under users of their own and must be able to read what is made here.
	unix.Umask(0o022)
	sweep()
	folder, err := newFolder()
	if err != nil {
		return 0, err
	}
	defer folder.remove()
	program := filepath.Join(folder.path, "kanmon")
	if err := built.Kanmon(program); err != nil && len(signals) == 0 {
		return 0, err
	}
	if len(signals) > 0 {
		return interruptedCode, nil
	}

	// PDEATHSIG goes off when the thread that started the child ends, not the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	child := exec.Command("/proc/self/exe", os.Args[1:]...)
	child.Args[0] = os.Args[0]
	child.Env = append(os.Environ(), dirVariable+"="+folder.path, built.Variable+"="+program) // labs inside of this one run the same
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
		Pdeathsig:  syscall.SIGKILL,
	}
	if err := child.Start(); err != nil {
		return 0, fmt.Errorf("make namespaces: %w", err)
	}
	return waitIsolated(child, signals)
}

// interruptedCode is the exit code of a program that a signal ended before it did anything.
const interruptedCode = 130

func waitIsolated(child *exec.Cmd, signals <-chan os.Signal) (int, error) {
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	var last os.Signal
	var again, kill <-chan time.Time
	for {
		select {
		case last = <-signals:
			_ = child.Process.Signal(last)
			// Process 1 of a namespace ignores signals that it has not asked for yet, so it gets them more than once.
			again = time.After(signalAgain)
			if kill == nil {
				kill = time.After(stopGrace)
			}
		case <-again:
			_ = child.Process.Signal(last)
			again = time.After(signalAgain)
		case <-kill:
			_ = child.Process.Kill()
		case err := <-ended:
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				return 0, err
			}
			if code := child.ProcessState.ExitCode(); code >= 0 {
				return code, nil
			}
			return 1, nil
		}
	}
}

// HostEnviron is the environment without what Isolate added to it, but for the program that is built: with it, a program that calls Isolate
// itself gets namespaces of its own inside of these.
func HostEnviron() []string {
	return slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, dirVariable+"=")
	})
}

// enter prepares the namespaces that the program finds itself in.
func enter(dir string) error {
	// Mounts made from here on must not be seen on the host.
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := unix.Mount("tmpfs", runDir(), "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mount the lab's folder: %w", err)
	}
	if err := privateUsers(filepath.Join(dir, "run")); err != nil {
		return err
	}
	// Whoever runs kanmon without a Kanmon must not write to the host either.
	if err := os.Setenv(rulesVariable, filepath.Join(runDir(), "rules")); err != nil {
		return err
	}
	// Nothing of the host's must answer instead of the lab's: no proxies, no other Postfix configuration.
	for _, name := range []string{"MAIL_CONFIG", "http_proxy", "https_proxy", "ALL_PROXY"} {
		_ = os.Unsetenv(name)
	}
	return nil
}

// privateUsers gives Postfix the users it insists on, seen in here alone, and makes names be looked up in files and
// DNS only: services on the host, reached by Unix sockets, would answer from outside.
func privateUsers(dir string) error {
	passwd, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return err
	}
	group, err := os.ReadFile("/etc/group")
	if err != nil {
		return err
	}
	files := map[string][]byte{
		"/etc/passwd": append(without(passwd, "postfix", "vmail", "kanmon"), fmt.Sprintf(
			"postfix:x:%d:%d::/nonexistent:/usr/sbin/nologin\nvmail:x:%d:%d::/nonexistent:/usr/sbin/nologin\nkanmon:x:%d:%d::/nonexistent:/usr/sbin/nologin\n",
			postfixID, postfixID, vmailID, vmailID, kanmonID, kanmonID)...),
		"/etc/group": append(without(group, "postfix", "postdrop", "vmail", "kanmon"), fmt.Sprintf(
			"postfix:x:%d:\npostdrop:x:%d:\nvmail:x:%d:\nkanmon:x:%d:\n", postfixID, postdropID, vmailID, kanmonID)...),
		"/etc/nsswitch.conf": []byte("passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n"),
		"/etc/hosts":         []byte("127.0.0.1 localhost\n::1 localhost\n"),
	}
	for target, content := range files {
		source := filepath.Join(dir, filepath.Base(target))
		if err := bindFile(source, target, content); err != nil {
			return err
		}
	}
	return nil
}

// Users of the lab, above those that Debian gives to people and packages.
const (
	postfixID  = 61025
	postdropID = 61026
	vmailID    = 61027
	kanmonID   = 61028
)

// without gives a passwd or group file without the named entries.
func without(file []byte, names ...string) []byte {
	var kept strings.Builder
	for line := range strings.Lines(string(file)) {
		drop := false
		for _, name := range names {
			drop = drop || strings.HasPrefix(line, name+":")
		}
		if !drop {
			kept.WriteString(strings.TrimSuffix(line, "\n") + "\n")
		}
	}
	return []byte(kept.String())
}

// bindFile writes source and lays it over target, in the calling thread's mount namespace. A target that does not
// exist is left alone, for making it would write to the host.
func bindFile(source, target string, content []byte) error {
	if err := os.WriteFile(source, content, 0o644); err != nil {
		return err
	}
	err := unix.Mount(source, target, "", unix.MS_BIND, "")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("lay a private file over %s: %w", target, err)
	}
	return nil
}

// runDir is the folder that holds the labs of this run: in memory, and gone with the mount namespace.
func runDir() string { return filepath.Join(os.Getenv(dirVariable), "run") }

// Program is the kanmon that Isolate has built.
func Program() string { return kanmonBinary() }

// kanmonBinary is the program that the lab runs as kanmon.
func kanmonBinary() string { return filepath.Join(os.Getenv(dirVariable), "kanmon") }
