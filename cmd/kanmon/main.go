// Opportunistic TLS prefers a weak key or an odd certificate of an old MX to plain text.
//
//go:debug rsa1024min=0
//go:debug x509negativeserial=1
//go:debug tlssha1=1

// Command kanmon is a transparent SMTP proxy for outbound mail. "kanmon help" says what it can do; docs/ref/cli.md is
// made of the same texts.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"

	"kanmon/internal/admin/check"
	"kanmon/internal/config"
	"kanmon/internal/daemon"
	"kanmon/internal/outlet/provider"
)

// Exit codes.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2

	exitCannot = 2 // of "kanmon check"

	exitGoesOn = 75 // of "kanmon run": it has not taken over, and the kanmon before goes on
)

// An exitStatus is returned by a command that has told its user everything, and ends in its own way.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// errShown is returned by a command that has told its user everything.
var errShown = errors.New("failed")

// A commandLine is what kanmon understands.
type commandLine struct {
	Init     initCommand      `cmd:"" help:"Write a first configuration for this host, by a few questions."`
	Run      runCommand       `cmd:"" help:"Intercept mail and relay it, until SIGTERM."`
	Reload   reloadCommand    `cmd:"" help:"Have a running kanmon read its configuration again, and wait for the result."`
	Handover handoverCommand  `cmd:"" help:"Have a running kanmon take no new sessions, and end behind those that there are: another takes what is new."`
	Upgrade  upgradeCommand   `cmd:"" help:"Have the program that is installed now take over from the kanmon that runs: no connection is refused, no session cut."`
	Socket   socketCommand    `cmd:"" help:"Print kanmon.socket, with which systemd holds the listeners: an upgrade then refuses nobody."`
	Check    checkCommand     `cmd:"" help:"Find what would hurt: in the configuration, on this host, and at receivers."`
	Explain  explainCommand   `cmd:"" help:"Say which pool and sending IP a mail gets, and why."`
	Rules    rulesCommands    `cmd:"" help:"Print, apply or remove the firewall rules that bring mail to kanmon."`
	Classify classifyCommand  `cmd:"" help:"Explain what an MX's reply means and who or what it is about."`
	IP       ipCommands       `cmd:"" name:"ip" help:"Show and change the standing of the sending IPs of a running kanmon."`
	Provider providerCommand  `cmd:"" help:"Show what came of mail to a provider, and how much each of them takes from one sending IP."`
	MX       mxCommand        `cmd:"" name:"mx" help:"Show what a running kanmon remembers of the TLS of an MX, and what follows from it."`
	TLS      tlsCommands      `cmd:"" name:"tls" help:"Show what recipients' domains ask of the TLS with their MXs (DANE, MTA-STS), and what follows from it."`
	Status   statusCommand    `cmd:"" help:"Say whether a running kanmon is as it should be, and what is not: exit code 1. Sessions, sending IPs, senders, memory."`
	Ready    readyCommand     `cmd:"" help:"Say whether this gateway should get mail, for keepalived and BGP: exit code 0, or 1 and why not."`
	Sessions sessionsCommands `cmd:"" help:"List the sessions that run, those that are held first, or have one end."`
	Top      topCommand       `cmd:"" help:"Show what happens now, again and again: held sessions, providers, sending IPs, tenants, refusals."`
	Trace    traceCommand     `cmd:"" help:"Show the dialogue of sessions while it happens, as the session log has it, until Ctrl-C."`
	Tenant   tenantCommands   `cmd:"" help:"Show and control how a running kanmon treats the mail of tenants."`
	Account  accountCommands  `cmd:"" help:"Show and control the accounts (senders) of a tenant."`
	Content  contentCommands  `cmd:"" help:"Try the scanners of content, explain what they have said, and have it not held against a sender for a time."`
	Audit    auditCommand     `cmd:"" help:"Show who has blocked, exempted or limited whom, or suspended a sending IP, when and why."`
	Web      webCommands      `cmd:"" help:"Show kanmon in a browser, and say who may see it."`
	View     viewCommand      `cmd:"" help:"Show kanmon in a browser, with the history of mail, until SIGTERM."`
	History  historyCommands  `cmd:"" help:"Keep what has happened to mail, for weeks and months, and say how far that is."`
	Notify   notifyCommands   `cmd:"" help:"Tell people what has happened: by webhook, by mail."`
	Backup   backupCommand    `cmd:"" help:"Save what kanmon keeps and its configuration to a file, also while it runs."`
	Restore  restoreCommand   `cmd:"" help:"Put a backup in the place of what is there, while kanmon is stopped."`

	pastCommands `embed:""`

	Help       helpCommand       `cmd:"" help:"Show the help of a command, or of a key of the configuration."`
	Completion completionCommand `cmd:"" help:"Print the completion script of a shell."`
	Version    versionCommand    `cmd:"" help:"Print the version of this program."`
	Complete   completeCommand   `cmd:"" hidden:""`
	Manual     manualCommand     `cmd:"" hidden:""`

	ShowVersion kong.VersionFlag `name:"version" help:"Print the version of this program."`
}

// What every command has in common.
const help = `The exit code is 0 if all went well, 1 if not, and 2 if the command line is wrong.

Commands that need a configuration read /etc/kanmon/kanmon.toml, or the file of --config. Commands about a running kanmon speak to its admin socket: that of the configuration, else /run/kanmon/admin.sock, or the one of --socket. They work without a configuration, too.`

// A configFlag names the configuration. Commands that need one embed it.
type configFlag struct {
	Config string `help:"Configuration file; default: ${default}." short:"c" placeholder:"FILE" default:"${config}"`
}

// load reads the configuration as the service reads it: what it does not name is where the service has its place for it.
func (f *configFlag) load() (*config.Config, error) {
	return config.LoadIn(f.Config, config.ServiceDirectories())
}

// A console is what commands know of the world outside.
type console struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	watch          func() *signals
	resolver       provider.Resolver                          // nil: the host's
	terminal       func() bool                                // whether a person is at stdin; nil: never
	lacks          func(*config.Config) ([]netip.Addr, error) // which sending IPs this host does not have; nil: nobody asks
}

func (c *console) isTerminal() bool { return c.terminal != nil && c.terminal() }

func main() {
	os.Exit(run(os.Args[1:], &console{os.Stdin, os.Stdout, os.Stderr, watchSignals, nil, onTerminal, daemon.Lacks}))
}

func run(args []string, c *console) int {
	exited, code := false, exitOK
	parser, err := newParser(c, func(status int) { exited, code = true, status })
	if err != nil {
		fmt.Fprintln(c.stderr, "kanmon:", err)
		return exitError
	}
	command, err := parser.Parse(args)
	if exited {
		return code
	}
	if err != nil {
		fmt.Fprintf(c.stderr, "kanmon: %v\nRun \"kanmon --help\" for the commands.\n", err)
		return exitUsage
	}
	if err := command.Run(c, parser); err != nil {
		var status exitStatus
		if errors.As(err, &status) {
			return int(status)
		}
		show(c.stderr, err)
		return exitError
	}
	return exitOK
}

// newParser returns the command line. --help and --version are answered by it, and then call exit.
func newParser(c *console, exit func(status int)) (*kong.Kong, error) {
	parser, err := kong.New(&commandLine{},
		kong.Name("kanmon"),
		kong.Description("A transparent SMTP proxy for outbound mail."),
		kong.Writers(c.stdout, c.stderr),
		kong.Vars{"config": config.DefaultPath, "blocklists": strings.Join(check.Blocklists, ","), "socket": config.DefaultSocket, "version": describeBuild(buildInfo())},
		kong.Exit(exit),
	)
	if err == nil {
		parser.Model.Detail = help
	}
	return parser, err
}

func onTerminal() bool { return isTerminal(os.Stdin) }

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS) //nolint:gosec // a descriptor is no large number
	return err == nil
}

// show prints an error. Those of a configuration file stand for themselves, as a compiler's do.
func show(w io.Writer, err error) {
	var wrong config.Errors
	switch {
	case errors.Is(err, errShown):
	case errors.As(err, &wrong):
		fmt.Fprintf(w, "%v\n\n%s\n", wrong, count(len(wrong), "error"))
	default:
		fmt.Fprintln(w, "kanmon:", err)
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Signals are how the operator speaks to a running kanmon.
type signals struct {
	stop   context.Context // over after the first SIGTERM or SIGINT
	kill   context.Context // over after the second
	reload <-chan os.Signal
	reopen <-chan os.Signal
	asked  chan chan<- error // reloads that somebody waits for
	leave  chan os.Signal    // another takes what is new
}

func watchSignals() *signals {
	// A reader of standard output that goes away must cost records, not the gateway.
	signal.Ignore(syscall.SIGPIPE)
	stop, drain := context.WithCancel(context.Background())
	kill, cut := context.WithCancel(context.Background())
	end := make(chan os.Signal, 2)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-end
		drain()
		<-end
		cut()
	}()
	reload, reopen := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	signal.Notify(reopen, syscall.SIGUSR1)
	leave := make(chan os.Signal, 1)
	signal.Notify(leave, syscall.SIGUSR2)
	return &signals{stop, kill, reload, reopen, make(chan chan<- error), leave}
}
