package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/charmbracelet/x/term"

	"kanmon/internal/config"
	"kanmon/internal/view/web"
)

type webCommands struct {
	Run  webRunCommand   `cmd:"" default:"withargs" help:"Serve the page that shows kanmon in a browser, until SIGTERM. \"kanmon view\" does so, too, with the history."`
	User webUserCommands `cmd:"" help:"Say who may log in to the page, and what they may there."`
}

type webUserCommands struct {
	Add    webUserAddCommand    `cmd:"" help:"Let somebody log in, or change what he may. The password is asked for, or is a line of standard input."`
	List   webUserListCommand   `cmd:"" help:"List who may log in."`
	Remove webUserRemoveCommand `cmd:"" help:"Let somebody log in no more; who is logged in is not any more."`
	Passwd webUserPasswdCommand `cmd:"" help:"Give somebody another password; who is logged in with the old one is not any more."`
}

type webRunCommand struct{ configFlag }

// Run serves the page.
func (k *webRunCommand) Run(c *console) error {
	return serveView(c, &k.configFlag, serveWeb)
}

// serveView runs what shows kanmon until it is told to stop.
func serveView(c *console, file *configFlag, serve func(context.Context, *config.Config, *slog.Logger) error) error {
	s := c.watch()
	cfg, err := loadForView(file)
	if err != nil {
		return err
	}
	level := &slog.LevelVar{}
	level.Set(cfg.Log.Level.Slog())
	log, end := newLogger(c.stderr, cfg.Log.Format, level)
	defer end()
	if err := serve(s.stop, cfg, log); err != nil {
		log.Error("not served", "error", err)
		return errShown
	}
	return nil
}

// loadForView reads the configuration as kanmon.service does: the folders of this process are others.
func loadForView(file *configFlag) (*config.Config, error) {
	return config.LoadIn(file.Config, config.ViewDirectories())
}

// A usersFlag finds the file of those who may log in.
type usersFlag struct{ configFlag }

// users gives the file. Without a configuration it is that of the service.
func (f *usersFlag) users() (*web.Users, *config.Config, error) {
	cfg, err := loadForView(&f.configFlag)
	if errors.Is(err, os.ErrNotExist) {
		cfg, err = config.Parse(f.Config, nil)
	}
	if err != nil {
		return nil, nil, err
	}
	return web.OpenUsers(cfg.Web.Users), cfg, nil
}

type webUserAddCommand struct {
	usersFlag
	Name string `arg:"" help:"Whom: letters, digits, and . - _ @."`
	Role string `required:"" enum:"look,search,act" help:"What he may: look (all but addresses of people), search (and these; searches are noted), act (and change something)." placeholder:"ROLE"`
}

// Run lets somebody log in.
func (k *webUserAddCommand) Run(c *console) error {
	users, cfg, err := k.users()
	if err != nil {
		return err
	}
	if err := web.CheckName(k.Name); err != nil {
		return err
	}
	role, _ := web.ParseRole(k.Role)
	_, err = users.Find(k.Name)
	password := ""
	switch {
	case errors.Is(err, web.ErrNoUser):
		if password, err = askPassword(c, k.Name); err != nil {
			return err
		}
	case err != nil:
		return err
	}
	if err := users.Set(k.Name, role, password); err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "%s may %s now: %s\n", k.Name, k.Role, whereIs(cfg))
	if bound, _ := web.ParseRole(string(cfg.Web.May)); bound < role {
		fmt.Fprintf(c.stdout, "But web.may is %q in the configuration, and nobody may more than that.\n", cfg.Web.May)
	}
	return nil
}

// whereIs says how the page is reached.
func whereIs(cfg *config.Config) string {
	switch at := cfg.Web.Address(); {
	case cfg.Web.UnixSocket() != "":
		return "by the proxy in front of " + cfg.Web.UnixSocket()
	case cfg.Web.TLS:
		return "https://" + at.String() + "/"
	default:
		return fmt.Sprintf("http://%s/ on this host; from elsewhere by ssh -L %d:%s", at, at.Port(), at)
	}
}

type webUserPasswdCommand struct {
	usersFlag
	Name string `arg:"" help:"Whom."`
}

// Run gives somebody another password.
func (k *webUserPasswdCommand) Run(c *console) error {
	users, _, err := k.users()
	if err != nil {
		return err
	}
	one, err := users.Find(k.Name)
	if err != nil {
		return fmt.Errorf("%s: %w", k.Name, err)
	}
	password, err := askPassword(c, k.Name)
	if err != nil {
		return err
	}
	return users.Set(k.Name, one.Role, password)
}

type webUserRemoveCommand struct {
	usersFlag
	Name string `arg:"" help:"Whom."`
}

// Run lets somebody log in no more.
func (k *webUserRemoveCommand) Run(*console) error {
	users, _, err := k.users()
	if err == nil {
		if err = users.Remove(k.Name); errors.Is(err, web.ErrNoUser) {
			err = fmt.Errorf("%s: %w", k.Name, err)
		}
	}
	return err
}

type webUserListCommand struct{ usersFlag }

// Run lists who may log in.
func (k *webUserListCommand) Run(c *console) error {
	users, _, err := k.users()
	if err != nil {
		return err
	}
	all, err := users.List()
	if err != nil {
		return err
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(c.stdout, "nobody may log in: kanmon web user add NAME --role act")
		return err
	}
	table := newTable(c.stdout, "NAME\tROLE")
	for _, one := range all {
		fmt.Fprintf(table, "%s\t%s\n", one.Name, one.Role)
	}
	return table.Flush()
}

// askPassword asks a person twice, without showing it; of what is no terminal it takes the first line.
func askPassword(c *console, name string) (string, error) {
	if !c.isTerminal() {
		line, err := bufio.NewReader(c.stdin).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
		password := strings.TrimRight(line, "\r\n")
		if password == "" {
			return "", errors.New("there is no password: want it as a line of standard input, or a terminal")
		}
		return password, web.CheckPassword(password)
	}
	read := func(prompt string) (string, error) {
		fmt.Fprint(c.stderr, prompt)
		typed, err := term.ReadPassword(os.Stdin.Fd())
		fmt.Fprintln(c.stderr)
		return string(typed), err
	}
	first, err := read(fmt.Sprintf("Password for %s: ", name))
	if err != nil {
		return "", err
	}
	if err := web.CheckPassword(first); err != nil {
		return "", err
	}
	again, err := read("Once more: ")
	if err != nil {
		return "", err
	}
	if first != again {
		return "", errors.New("the two are not the same")
	}
	return first, nil
}
