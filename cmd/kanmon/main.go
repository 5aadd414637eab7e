// Opportunistic TLS prefers a weak key or an odd certificate of an old MX to plain text.
//
//go:debug rsa1024min=0
//go:debug x509negativeserial=1
//go:debug tlssha1=1

// Command kanmon is a transparent SMTP proxy for outbound mail.
//
//	kanmon run     [--config FILE]                       intercept and relay, until SIGTERM
//	kanmon check   [--config FILE]                       judge a configuration without running it
//	kanmon explain [--config FILE] --sender A --recipient B …  which sending IP a mail leaves from, and why
//	kanmon rules   print|apply|remove [--config FILE]    the firewall rules that bring mail here
//	kanmon classify [REPLY]                              what a reply means and whose it is
//	kanmon ip      list|show|suspend|resume [--config FILE]  the standing of the sending IPs of a running kanmon
//	kanmon mx      ADDRESS [--config FILE]               what is remembered of the TLS of an MX
//	kanmon status  [--config FILE]                       sessions, memory and dropped records of a running kanmon
//	kanmon tenant  list|show|explain|limit|block|unblock|exempt|unexempt [--config FILE]  how tenants' mail is treated, and why
//	kanmon account …                                     the same of accounts, the senders inside a tenant
//	kanmon audit   [--tenant T] [--account A] [-n N]     who has changed what of them
//	kanmon version
//
// It exits with 0 if all went well, 1 if not, and 2 if the command line is wrong.
//
// Signals to "kanmon run": SIGTERM and SIGINT let sessions finish, and a second one cuts them; SIGHUP reloads the
// configuration, and opens the files of the journal anew; SIGUSR1 does the latter alone. While sessions finish both open the files anew.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"kanmon/internal/config"
	"kanmon/internal/provider"
)

// Exit codes.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

// errShown is returned by a command that has told its user everything.
var errShown = errors.New("failed")

// A commandLine is what kanmon understands.
type commandLine struct {
	Run      runCommand      `cmd:"" help:"Intercept mail and relay it, until SIGTERM."`
	Check    checkCommand    `cmd:"" help:"Judge a configuration: its own errors, and what this host does not give."`
	Explain  explainCommand  `cmd:"" help:"Say which pool and sending IP a mail gets, and why."`
	Rules    rulesCommands   `cmd:"" help:"The firewall rules that bring mail to kanmon."`
	Classify classifyCommand `cmd:"" help:"Explain what a reply of an MX means, and whose it is."`
	IP       ipCommands      `cmd:"" name:"ip" help:"The standing of the sending IPs of a running kanmon."`
	MX       mxCommand       `cmd:"" name:"mx" help:"What a running kanmon remembers of the TLS of an MX, and what follows from it."`
	Status   statusCommand   `cmd:"" help:"How a running kanmon is: sessions, memory, records that were dropped."`
	Tenant   tenantCommands  `cmd:"" help:"How the mail of tenants is treated by a running kanmon, why, and what you can do about it."`
	Account  accountCommands `cmd:"" help:"The same of accounts: the senders inside a tenant."`
	Audit    auditCommand    `cmd:"" help:"Who has blocked, exempted or limited whom, when and why."`
	Version  versionCommand  `cmd:"" help:"Print the version of this program."`
}

// A configFlag names the configuration. Commands that need one embed it.
type configFlag struct {
	Config string `help:"Configuration file." short:"c" placeholder:"FILE" default:"${config}"`
}

// A console is what commands know of the world outside.
type console struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	watch          func() *signals
	resolver       provider.Resolver // nil: the host's
}

func main() {
	os.Exit(run(os.Args[1:], &console{os.Stdin, os.Stdout, os.Stderr, watchSignals, nil}))
}

func run(args []string, c *console) int {
	var line commandLine
	exited, code := false, exitOK
	parser, err := kong.New(&line,
		kong.Name("kanmon"),
		kong.Description("A transparent SMTP proxy for outbound mail."),
		kong.Writers(c.stdout, c.stderr),
		kong.Vars{"config": config.DefaultPath},
		kong.Exit(func(status int) { exited, code = true, status }), // --help
	)
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
	if err := command.Run(c); err != nil {
		show(c.stderr, err)
		return exitError
	}
	return exitOK
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
	return &signals{stop, kill, reload, reopen}
}
