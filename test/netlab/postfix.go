package netlab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A Role is what a Postfix is there for.
type Role uint8

// The roles.
const (
	MSA Role = iota // takes mail on port 587 and sends it to the MX of each domain
	MX              // takes mail for all domains on port 25 and stores it
)

// PostfixOptions says what is special about a Postfix.
type PostfixOptions struct {
	Role     Role
	Hostname string            // name in EHLO or in the banner; "": the host's name
	TLS      string            // MSA: smtp_tls_security_level, "" is "may"; MX: smtpd_tls_security_level, "" is "none"
	Settings map[string]string // further parameters of main.cf
	Services []string          // further lines of master.cf
	Screen   bool              // MX: postscreen meets its clients first
}

// A Postfix is one instance, with its configuration, queue and log in a folder of its own. It runs from the
// private folder of the tools: whatever MTA the machine has is not touched.
type Postfix struct {
	Host    *Host
	Options PostfixOptions
	LogFile string

	dir string
}

// NewPostfix starts Postfix on a host.
func NewPostfix(host *Host, options PostfixOptions) (*Postfix, error) {
	if options.Hostname == "" {
		options.Hostname = host.Name
	}
	p := &Postfix{Host: host, Options: options, dir: filepath.Join(host.Dir, "postfix")}
	p.LogFile = filepath.Join(p.dir, "mail.log")
	if err := p.makeFolders(); err != nil {
		return nil, fmt.Errorf("postfix on %s: %w", host.Name, err)
	}
	if err := p.configure(); err != nil {
		return nil, fmt.Errorf("postfix on %s: %w", host.Name, err)
	}
	return p, p.start()
}

// makeFolders makes what the package's installation would have made.
func (p *Postfix) makeFolders() error {
	folders := []struct {
		path     string
		mode     os.FileMode
		uid, gid int
	}{
		{"", 0o755, 0, 0},
		{"etc", 0o755, 0, 0},
		{"data", 0o700, postfixID, postfixID},
		{"store", 0o700, vmailID, vmailID},
		{"queue", 0o755, 0, 0},
		{"queue/pid", 0o755, 0, 0},
		{"queue/maildrop", 0o730, postfixID, postdropID},
		{"queue/public", 0o710, postfixID, postdropID},
	}
	for _, name := range []string{
		"active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace",
	} {
		folders = append(folders, struct {
			path     string
			mode     os.FileMode
			uid, gid int
		}{"queue/" + name, 0o700, postfixID, postfixID})
	}
	for _, f := range folders {
		path := filepath.Join(p.dir, f.path)
		if err := os.Mkdir(path, f.mode); err != nil {
			return err
		}
		// Mkdir's mode is cut by the umask, and chown may clear bits.
		if err := os.Chown(path, f.uid, f.gid); err != nil {
			return err
		}
		if err := os.Chmod(path, f.mode); err != nil {
			return err
		}
	}
	return nil
}

func (p *Postfix) start() error {
	tools := p.Host.lab.tools
	_, err := p.Host.Start(Command{
		Name: "postfix",
		Args: []string{filepath.Join(tools.root, "usr/lib/postfix/sbin/master"), "-d", "-c", p.configDir()},
		Env:  tools.Env(),
	})
	if err != nil {
		return err
	}
	port := 25
	if p.Options.Role == MSA {
		port = 587
	}
	return p.Host.WaitListening(port, 30*time.Second)
}

// address is where Postfix is spoken to from its own host.
func (p *Postfix) address() string {
	if p.Options.Role == MSA {
		return "127.0.0.1:587"
	}
	return "127.0.0.1:25"
}

func (p *Postfix) configDir() string { return filepath.Join(p.dir, "etc") }

// Queue gives what waits, as `postqueue -p` prints it.
func (p *Postfix) Queue() (string, error) {
	tools := p.Host.lab.tools
	return p.Host.run(tools.Env(), tools.Path("postqueue"), "-c", p.configDir(), "-p")
}

// Flush makes Postfix try all that waits now. It does not try by itself within any test's time.
func (p *Postfix) Flush() error {
	tools := p.Host.lab.tools
	_, err := p.Host.run(tools.Env(), tools.Path("postqueue"), "-c", p.configDir(), "-f")
	return err
}

// Log is Postfix's whole log.
func (p *Postfix) Log() string {
	content, _ := os.ReadFile(p.LogFile)
	return string(content)
}

// waitFor polls until the condition holds or ctx ends.
func waitFor(ctx context.Context, what string, condition func() bool) error {
	for !condition() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w", what, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

func writeFile(path string, lines ...string) error {
	return os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}
