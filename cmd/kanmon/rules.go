package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"kanmon/internal/config"
	"kanmon/internal/daemon"
	"kanmon/internal/intercept"
)

// rulesTimeout bounds what the firewall may take. Loading a set of ten thousand networks takes a second.
const rulesTimeout = time.Minute

type rulesCommands struct {
	Print  printRules  `cmd:"" help:"Print the rules as text for nft, and change nothing."`
	Apply  applyRules  `cmd:"" help:"Put the rules in force, in place of earlier ones of kanmon."`
	Remove removeRules `cmd:"" help:"Take the rules away: mail leaves directly, until they are applied again. Needs no configuration."`
	Guard  guardRules  `cmd:"" help:"Watch the rules, and put back what other programs take away, until SIGTERM."`
	Status rulesStatus `cmd:"" help:"Say whether the rules are in force."`
}

type printRules struct{ configFlag }

// Run prints the rules.
func (p *printRules) Run(c *console) error {
	rules, err := p.rules()
	if err == nil {
		_, err = fmt.Fprint(c.stdout, rules.Text())
	}
	return err
}

type applyRules struct {
	configFlag
	Last  bool `help:"The rules that were in force last, whatever the configuration says. Needs none." xor:"which"`
	Start bool `help:"For the service that starts: with a broken configuration the rules that were in force last; none, if a person has removed them." xor:"which"`

	Reload bool `help:"For the service that reloads: none, if a person has removed them." xor:"which"`
}

// Run applies the rules.
func (a *applyRules) Run(c *console) error {
	ctx, cancel := context.WithTimeout(context.Background(), rulesTimeout)
	defer cancel()
	keeper, _ := intercept.Here()
	switch {
	case a.Last:
		kept, err := keeper.ApplyLast(ctx)
		if err == nil {
			fmt.Fprintf(c.stdout, "the rules of %s are in force\n", kept.Applied.UTC().Format(time.RFC3339))
		}
		if errors.Is(err, intercept.ErrDamaged) {
			return fmt.Errorf("%w. To put the rules of the configuration in force: kanmon rules apply", err)
		}
		return tolerateNotKept(c, err)
	case a.Start:
		return a.start(ctx, keeper, c)
	case a.Reload && opened(keeper, c):
		return nil
	}
	rules, err := a.rules()
	if err != nil {
		return err
	}
	return tolerateNotKept(c, keeper.Apply(ctx, rules, false))
}

// start is closed unless a person has opened the way.
func (a *applyRules) start(ctx context.Context, keeper *intercept.Keeper, c *console) error {
	if opened(keeper, c) {
		return nil
	}
	rules, wrong := a.rules()
	if wrong == nil {
		wrong = keeper.Apply(ctx, rules, false)
		if wrong == nil || errors.Is(wrong, intercept.ErrNotKept) {
			return tolerateNotKept(c, wrong)
		}
	}
	kept, err := keeper.ApplyLast(ctx)
	if errors.Is(err, intercept.ErrNothingKept) {
		show(c.stderr, wrong)
		fmt.Fprintf(c.stderr, "kanmon: %s. Correct what is said above, then: systemctl restart kanmon-rules\n", without(ctx, keeper))
		return errShown
	}
	show(c.stderr, wrong)
	if err := tolerateNotKept(c, err); err != nil {
		return fmt.Errorf("nor are the rules that were in force last: %w", err)
	}
	fmt.Fprintf(c.stderr, "kanmon: THE RULES THAT WERE IN FORCE LAST (of %s) ARE IN FORCE AGAIN, not those of the configuration above. "+
		"Correct it, then: systemctl reload kanmon-rules. To let mail leave directly: kanmon rules remove\n", kept.Applied.UTC().Format(time.RFC3339))
	return nil
}

// without says what becomes of mail where nothing is kept: a former version may have left rules in force.
func without(ctx context.Context, keeper *intercept.Keeper) string {
	now := keeper.Unremembered(ctx)
	if now.Open {
		return "the rules are not in force, and none were before: mail may leave directly"
	}
	return "the rules of the configuration are not in force; " + now.What
}

// opened says so where a person has removed the rules: no service puts them back.
func opened(keeper *intercept.Keeper, c *console) bool {
	removed, err := keeper.Opened()
	if removed != nil {
		fmt.Fprintf(c.stderr, "kanmon: MAIL LEAVES DIRECTLY: a person has removed the rules at %s, and that holds for starts and boots. To put them in force: kanmon rules apply\n",
			removed.At.UTC().Format(time.RFC3339))
	}
	if err != nil {
		fmt.Fprintf(c.stderr, "kanmon: whether a person has removed the rules is not known: %v\n", err)
	}
	return removed != nil
}

// holdRules puts the rules in force that were last, where a kanmon that manages them itself cannot start: mail waits, and does not leave
// directly.
func holdRules(c *console) {
	keeper, _ := intercept.Here()
	kept, err := keeper.Last()
	if errors.Is(err, intercept.ErrDamaged) {
		fmt.Fprintln(c.stderr, "kanmon: the firewall rules that were in force last cannot be put in force:", err)
	}
	if opened := kept.Removed != nil && !kept.Removed.UntilStart; err != nil || !kept.Managed || opened {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), rulesTimeout)
	defer cancel()
	if _, err := keeper.ApplyLast(ctx); tolerateNotKept(c, err) != nil {
		fmt.Fprintln(c.stderr, "kanmon: the firewall rules that were in force last are not in force:", err)
		return
	}
	fmt.Fprintln(c.stderr, "kanmon: the firewall rules that were in force last are in force: mail waits in the MSAs. To let it leave directly: kanmon rules remove")
}

// tolerateNotKept: the rules are as they should be, and that they could not be written down is told.
func tolerateNotKept(c *console, err error) error {
	if errors.Is(err, intercept.ErrNotKept) {
		fmt.Fprintln(c.stderr, "kanmon:", err)
		return nil
	}
	return err
}

type removeRules struct {
	Config string `help:"Not needed; earlier versions did." short:"c" hidden:"" placeholder:"FILE"`
	Unit   string `help:"For the service that stops, its name: nothing is removed while it is being restarted, and its next start applies the rules again." placeholder:"NAME"`
}

// Run removes the rules.
func (r *removeRules) Run(c *console) error {
	ctx, cancel := context.WithTimeout(context.Background(), rulesTimeout)
	defer cancel()
	keeper, _ := intercept.Here()
	if r.Unit != "" && restarting(ctx, r.Unit) {
		fmt.Fprintf(c.stdout, "%s restarts: the rules stay\n", r.Unit)
		return nil
	}
	err := keeper.Remove(ctx, r.Unit != "")
	if errors.Is(err, intercept.ErrNotKept) && !errors.Is(err, intercept.ErrKeptAside) && r.Unit == "" {
		return fmt.Errorf("%w. A guard may put them back at once, and the next start does: systemctl stop kanmon-rules.service opens the way until then", err)
	}
	if err := tolerateNotKept(c, err); err != nil {
		return err
	}
	fmt.Fprintln(c.stdout, "the rules are removed: mail leaves directly, past kanmon. To intercept it again: kanmon rules apply")
	return nil
}

// restarting asks systemd whether a unit stops in order to start again. It tells this only in its list of jobs.
func restarting(ctx context.Context, unit string) bool {
	jobs, err := exec.CommandContext(ctx, "systemctl", "list-jobs", "--no-legend", "--plain", unit).Output()
	return err == nil && strings.Contains(string(jobs), " "+unit+" restart ")
}

type guardRules struct{}

// Run guards the rules until it is told to stop. They stay then.
func (*guardRules) Run(c *console) error {
	s := c.watch()
	log, end := newLogger(c.stderr, config.FormatText, slog.LevelInfo)
	defer end()
	keeper, report := intercept.Here()
	guard := &intercept.Guard{Keeper: keeper, Log: log, Report: report}
	return guard.Run(s.stop, func() {
		_, _ = sd.SdNotify(false, sd.SdNotifyReady) // without systemd nobody listens
		log.Info("firewall rules guarded")
	})
}

type rulesStatus struct{}

// Run says whether the rules are in force. If not, it fails.
func (*rulesStatus) Run(c *console) error {
	ctx, cancel := context.WithTimeout(context.Background(), rulesTimeout)
	defer cancel()
	keeper, report := intercept.Here()
	problems := keeper.Problems(ctx, nil, report)
	for _, p := range problems {
		fmt.Fprintln(c.stdout, p)
	}
	if len(problems) > 0 {
		return errShown
	}
	fmt.Fprintln(c.stdout, "in force, and guarded")
	return nil
}

// rules returns the rules of the configuration.
func (f *configFlag) rules() (intercept.Rules, error) {
	cfg, err := f.load()
	if err != nil {
		return intercept.Rules{}, err
	}
	rules := daemon.Rules(cfg)
	if err := rules.Validate(); err != nil {
		return intercept.Rules{}, fmt.Errorf("%s: [intercept]: %w", f.Config, err)
	}
	return rules, nil
}
