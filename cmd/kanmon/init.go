package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"kanmon/internal/admin/setup"
	"kanmon/internal/config"
)

type initCommand struct {
	Config    string   `help:"Where to write the configuration; \"-\": to standard output, and nothing else. Default: ${default}." short:"c" placeholder:"FILE" default:"${config}"`
	Role      string   `help:"\"observe\": see mail and change nothing. \"gateway\": relay the mail of other mail servers. \"msa\": relay that of this host's own." enum:",observe,gateway,msa" default:"" placeholder:"ROLE"`
	Sources   []string `help:"Whose mail: networks of mail servers, and \"local\" for this host's own mail. Default: the networks seen on this host." placeholder:"NETWORK"`
	SendingIP []string `name:"sending-ip" help:"An address that mail may leave from, and its name in EHLO; may be given several times. Default: the outside addresses of this host, with the names of their PTRs." placeholder:"ADDRESS=NAME"`
	Tenant    []string `help:"A tenant and a network of its mail servers; may be given several times. Default: none." placeholder:"NAME=NETWORK"`
	Addresses string   `help:"What the records show of mail addresses: \"clear\" is all, \"domain\" the domain alone." enum:",clear,domain" default:"" placeholder:"FORM"`
	Yes       bool     `help:"Ask nothing: take the flags, and for the rest what is seen of this host." short:"y"`
	Force     bool     `help:"Where the file is there already, keep it beside the new one, as FILE.old."`
}

// Help says what comes of it.
func (*initCommand) Help() string {
	return `It looks at the addresses, the networks and the mail server of this host, asks at most seven questions, writes a commented file and checks it. An existing file is never overwritten.

    kanmon init
    kanmon init --yes --role gateway --sources 10.20.0.0/16 --sending-ip 203.0.113.10=out10.example.jp`
}

// Run writes a configuration for this host.
func (k *initCommand) Run(c *console) error {
	if !k.Yes && !c.isTerminal() {
		return errors.New("standard input is no terminal, so nobody can be asked: give --yes, and flags for what is not to be guessed (kanmon init --help)")
	}
	show := k.Config == "-"
	if !show && !k.Force && k.Yes {
		if err := setup.Free(k.Config); err != nil {
			return fmt.Errorf("%w (--config), or keep the old one beside it (--force)", err)
		}
	}
	answers, err := k.answers(c)
	if err == nil {
		err = answers.Complete()
	}
	if err != nil {
		return err
	}
	if err := answers.Wrong(faultsIn); err != nil {
		return err
	}
	text := answers.Text()
	if show {
		_, err := fmt.Fprint(c.stdout, text)
		return err
	}
	return k.write(c, text)
}

// faultsIn says what makes a text no configuration.
func faultsIn(text string) (faults []setup.Fault) {
	_, err := config.Parse("kanmon.toml", []byte(text))
	var wrong config.Errors
	switch {
	case errors.As(err, &wrong):
		for _, e := range wrong {
			faults = append(faults, setup.Fault{Key: e.Key, Problem: e.Problem, Want: e.Want})
		}
	case err != nil:
		faults = append(faults, setup.Fault{Problem: err.Error()})
	}
	return faults
}

// answers come from the flags, the host and the person at the terminal.
func (k *initCommand) answers(c *console) (setup.Answers, error) {
	host := &setup.Host{}
	sight := host.Look()
	observing := setup.Role(k.Role) == setup.Observe || k.Yes && k.Role == ""
	if unnamed := k.unnamed(); !observing && (len(k.SendingIP) == 0 || len(unnamed) > 0) {
		host.Name(context.Background(), &sight, unnamed...)
	}
	given := setup.Given{Role: setup.Role(k.Role), Sources: k.Sources, SendingIPs: k.SendingIP, Tenants: k.Tenant, Addresses: k.Addresses, Faults: faultsIn}
	if config.ServiceDirectories() == (config.Directories{}) { // nobody gives them: the file names them
		usual := config.UsualDirectories()
		given.Folders = &setup.Folders{State: usual.State, Runtime: usual.Runtime, Logs: usual.Logs}
	}
	if k.Yes {
		return setup.Decide(&sight, &given)
	}
	asked := c.stdout
	if k.Config == "-" {
		asked = c.stderr // standard output is the file's
	}
	return setup.Ask(c.stdin, asked, &sight, &given, &k.Config, k.Force)
}

// unnamed are the sending IPs that a flag gives without a name.
func (k *initCommand) unnamed() []netip.Addr {
	var addrs []netip.Addr
	for _, ip := range k.SendingIP {
		if addr, err := netip.ParseAddr(ip); err == nil {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

func (k *initCommand) write(c *console, text string) error {
	if k.Force {
		old, err := setup.Aside(k.Config)
		if err != nil {
			return err
		}
		if old != "" {
			fmt.Fprintf(c.stdout, "kept: %s\n", old)
		}
	}
	if err := setup.Write(k.Config, text); err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "written: %s\n\n", k.Config)
	check, run := "kanmon check", "systemctl enable --now kanmon kanmon-rules"
	if k.Config != config.DefaultPath || !config.HasSystemd() {
		check, run = "kanmon check --config "+k.Config, "kanmon run --config "+k.Config
	}
	if err := (&checkCommand{socketFlag: socketFlag{configFlag: configFlag{k.Config}}}).Run(c); err != nil {
		fmt.Fprintf(c.stdout, "\nNext: mend the errors above, then: %s\n", check)
		return err
	}
	fmt.Fprintf(c.stdout, "\nNext: %s\n", run)
	return nil
}
