package intercept

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Apply loads the rules: in tproxy mode the policy route, and in one transaction the table, in place of one that is there. A policy
// route made for another mark, table or mode goes last, so that sessions live on. It can be repeated. In tproxy mode direct connections
// that are already open are cut; their MSAs try again. Sessions that are open go on.
//
// The table is loaded even where the policy route fails: mail is then refused and does not leave directly. The rules stay when kanmon
// ends: mail is refused, and waits at the MSAs.
func (r Rules) Apply(ctx context.Context) error { return r.replace(ctx, Rules{}) }

// replace is Apply in place of rules that are known (the zero ones: they are not).
func (r Rules) replace(ctx context.Context, before Rules) error {
	if err := r.Validate(); err != nil {
		return fmt.Errorf("firewall rules: %w", err)
	}
	var errs []error
	for _, p := range r.policyRoutes() {
		errs = append(errs, p.put())
	}
	if _, err := run(ctx, r.textHolding(r.held(ctx, before)), "nft", "-f", "-"); err != nil {
		return fmt.Errorf("load the firewall rules: %w", err)
	}
	if err := errors.Join(append(errs, clearPolicyRoutes(r.policyRoutes()))...); err != nil {
		return fmt.Errorf("policy route: %w", err)
	}
	return nil
}

// Remove takes away what any Apply has made, with whatever mode, mark and table. It can be repeated. The zero Rules will do, if the
// table has its usual name. The direct way to the MXs is then open.
func (r Rules) Remove(ctx context.Context) error {
	name := "inet " + r.table()
	var errs []error
	if _, err := run(ctx, "table "+name+"\ndelete table "+name+"\n", "nft", "-f", "-"); err != nil {
		errs = append(errs, fmt.Errorf("remove the firewall rules: %w", err))
	}
	if err := clearPolicyRoutes(nil); err != nil {
		errs = append(errs, fmt.Errorf("policy route: %w", err))
	}
	return errors.Join(errs...)
}

// packages says what to install for a command.
var packages = map[string]string{"nft": "nftables"}

var (
	errNoSuchThing  = errors.New("there is none")
	errNotPermitted = errors.New("needs root or CAP_NET_ADMIN")
)

// run runs a command with the input, and gives its output.
func run(ctx context.Context, input string, command ...string) (string, error) {
	path, err := find(command[0])
	if err != nil {
		return "", fmt.Errorf("%s is not installed (package %s): %w", command[0], packages[command[0]], err)
	}
	cmd := exec.CommandContext(ctx, path, command[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdin = strings.NewReader(input)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	if err == nil {
		return stdout.String(), nil
	}
	said := strings.TrimSpace(stderr.String())
	switch {
	case strings.Contains(said, "Operation not permitted"):
		err = fmt.Errorf("%w (%w)", err, errNotPermitted)
	case strings.Contains(said, "No such file or directory"):
		err = fmt.Errorf("%w (%w)", err, errNoSuchThing)
	}
	return "", fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, said)
}

// find looks for a command where the system's own are too: they are not in everybody's PATH.
func find(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", err
}
