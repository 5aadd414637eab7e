package netlab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// A Kanmon is kanmon on a host, with its configuration and records in a folder of its own.
type Kanmon struct {
	Host *Host
	User uint32 // user to run as; 0: root

	// Journal is further lines of the table [journal], which Configure adds.
	Journal string
	Output  *os.File // where it logs instead of its log file; nil: there
	Env     []string // added to its environment

	dir     string
	process *Process
	rotated int
}

// KanmonPort is where kanmon listens in the lab.
const KanmonPort = 10025

// NewKanmon prepares kanmon with a configuration. The tables [journal] and the host name are added to it. Nothing runs yet.
func NewKanmon(host *Host, config string) (*Kanmon, error) {
	k := &Kanmon{Host: host, dir: filepath.Join(host.Dir, "kanmon")}
	if err := os.Mkdir(k.dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.Chown(k.dir, kanmonID, kanmonID); err != nil {
		return nil, err
	}
	return k, k.Configure(config)
}

// UnprivilegedUser is a user of the lab with no rights, to run kanmon as.
const UnprivilegedUser = uint32(kanmonID)

// Configure replaces the configuration. A running kanmon sees it on Reload.
func (k *Kanmon) Configure(config string) error {
	return writeFile(k.configFile(), `hostname = "gateway.example"`, config, "",
		"[journal]",
		fmt.Sprintf("records     = %q", k.RecordsFile()),
		fmt.Sprintf("session_log = %q", k.SessionLogFile()),
		k.Journal)
}

// Write replaces the configuration by exactly this text.
func (k *Kanmon) Write(config string) error { return writeFile(k.configFile(), config) }

// Rotate moves the records away and has kanmon begin new ones, and gives the path of what was moved; the session log is thrown away.
// kanmon may write to what was moved for a moment more.
func (k *Kanmon) Rotate() (records string, err error) {
	k.rotated++
	records = fmt.Sprintf("%s.%d", k.RecordsFile(), k.rotated)
	if err := errors.Join(os.Rename(k.RecordsFile(), records), os.Remove(k.SessionLogFile()), k.process.Signal(syscall.SIGUSR1)); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), rotateTimeout)
	defer cancel()
	return records, waitFor(ctx, "kanmon has opened its files anew", func() bool {
		_, err := os.Stat(k.RecordsFile())
		_, err2 := os.Stat(k.SessionLogFile())
		return err == nil && err2 == nil
	})
}

const rotateTimeout = 15 * time.Second

// Socket is the path for admin.socket of the configuration.
func (k *Kanmon) Socket() string { return filepath.Join(k.dir, "admin.sock") }

// Rules runs `kanmon rules VERB`: print, apply or remove. It gives the output.
func (k *Kanmon) Rules(verb string) (string, error) {
	return k.Host.run(k.environ(), kanmonBinary(), "rules", verb, "--config", k.configFile())
}

// Check runs `kanmon check ARGUMENTS` as root, and gives the output. The error is its exit code.
func (k *Kanmon) Check(arguments ...string) (string, error) {
	return k.Host.run(k.environ(), slices.Concat([]string{kanmonBinary(), "check", "--config", k.configFile()}, arguments)...)
}

// Guard runs `kanmon rules guard` until the lab is closed.
func (k *Kanmon) Guard() (*Process, error) {
	return k.Host.Start(Command{Name: "guard", Args: []string{kanmonBinary(), "rules", "guard"}, Env: k.environ()})
}

// environ has the rules remembered in the lab, and not on the host.
func (k *Kanmon) environ() []string {
	return []string{rulesVariable + "=" + filepath.Join(k.dir, "rules")}
}

// rulesVariable is where kanmon looks for the folder in which it remembers the rules that are in force.
const rulesVariable = "KANMON_RULES_STATE"

// IP runs `kanmon ip ARGUMENTS` and gives the output.
func (k *Kanmon) IP(arguments ...string) (string, error) { return k.order("ip", arguments) }

// Account runs `kanmon account ARGUMENTS` and gives the output.
func (k *Kanmon) Account(arguments ...string) (string, error) { return k.order("account", arguments) }

// Tenant runs `kanmon tenant ARGUMENTS` and gives the output.
func (k *Kanmon) Tenant(arguments ...string) (string, error) { return k.order("tenant", arguments) }

func (k *Kanmon) order(command string, arguments []string) (string, error) {
	return k.Host.Run(slices.Concat([]string{kanmonBinary(), command}, arguments, []string{"--config", k.configFile()})...)
}

// Folder is where kanmon may keep state.
func (k *Kanmon) Folder() string { return k.dir }

// Start runs kanmon and waits until it listens.
func (k *Kanmon) Start() error {
	process, err := k.Host.Start(Command{
		Name: "kanmon",
		Args: []string{kanmonBinary(), "run", "--config", k.configFile()},
		User: k.User, Output: k.Output, Env: slices.Concat(k.environ(), k.Env),
	})
	if err != nil {
		return err
	}
	k.process = process
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	ended := false
	err = waitFor(ctx, "kanmon listens", func() bool {
		select {
		case <-process.Done():
			ended = true
		default:
		}
		return ended || k.Host.listening(KanmonPort)
	})
	if ended {
		return fmt.Errorf("kanmon ended: %w: %s", process.err, process.Log())
	}
	return err
}

// Stop sends SIGTERM and waits until kanmon has ended. It returns how it ended.
func (k *Kanmon) Stop(timeout time.Duration) error { return k.process.Stop(timeout) }

// Terminate sends SIGTERM and returns at once.
func (k *Kanmon) Terminate() error { return k.process.Signal(syscall.SIGTERM) }

// Kill sends SIGKILL and waits until kanmon has ended.
func (k *Kanmon) Kill() { k.process.Kill() }

// Done is closed when kanmon has ended.
func (k *Kanmon) Done() <-chan struct{} { return k.process.Done() }

// Ask runs `kanmon COMMAND ARGUMENTS`, which asks the running kanmon, and gives the output.
func (k *Kanmon) Ask(command string, arguments ...string) (string, error) {
	return k.order(command, arguments)
}

// Reload sends SIGHUP.
func (k *Kanmon) Reload() error { return k.process.Signal(syscall.SIGHUP) }

// PID is the process id of the running kanmon.
func (k *Kanmon) PID() int { return k.process.PID() }

// Log is what kanmon logged.
func (k *Kanmon) Log() string { return k.process.Log() }

// SessionLog is the log of all sessions so far, with the marks.
func (k *Kanmon) SessionLog() string {
	content, _ := os.ReadFile(k.SessionLogFile())
	return string(content)
}

// SessionLogFile is the path of the session log.
func (k *Kanmon) SessionLogFile() string { return filepath.Join(k.dir, "session.log") }

// Records gives the records so far, one JSON object a line.
func (k *Kanmon) Records() string {
	content, _ := os.ReadFile(k.RecordsFile())
	return string(content)
}

// RecordsFile is the path of the records.
func (k *Kanmon) RecordsFile() string { return filepath.Join(k.dir, "records.jsonl") }

func (k *Kanmon) configFile() string { return filepath.Join(k.dir, "kanmon.toml") }
