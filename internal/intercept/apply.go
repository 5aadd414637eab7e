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

// Apply loads the rules: in one transaction the table, in place of one that an earlier Apply left, and then in tproxy mode the policy
// route. It can be repeated. An error about the policy route leaves the table in force: mail of that family is refused, and does not
// pass directly. In tproxy mode direct connections that are already open are cut; their MSAs try again.
//
// The rules stay when kanmon ends: mail is then refused, and waits at the MSAs.
func (r Rules) Apply(ctx context.Context) error {
	if err := r.Validate(); err != nil {
		return fmt.Errorf("firewall rules: %w", err)
	}
	if err := run(ctx, r.Text(), "", "nft", "-f", "-"); err != nil {
		return fmt.Errorf("load the firewall rules: %w", err)
	}
	if r.Mode != TProxy {
		return nil
	}
	var errs []error
	for _, command := range r.routeCommands("add") {
		if err := run(ctx, "", "File exists", command...); err != nil {
			errs = append(errs, fmt.Errorf("add the policy route: %w", err))
		}
	}
	return errors.Join(errs...)
}

// Remove takes away what Apply made, with the same Rules: the table, and in tproxy mode the policy route. It can be repeated.
// The direct way to the MXs is then open.
func (r Rules) Remove(ctx context.Context) error {
	table := "inet " + r.table()
	if err := run(ctx, "table "+table+"\ndelete table "+table+"\n", "", "nft", "-f", "-"); err != nil {
		return fmt.Errorf("remove the firewall rules: %w", err)
	}
	if r.Mode != TProxy {
		return nil
	}
	var errs []error
	for _, command := range r.routeCommands("del") {
		// The kernel's words for a rule, a route and a table that are not there: ENOENT, ESRCH, and iproute2's own.
		if err := run(ctx, "", "No such file or directory|No such process|FIB table does not exist", command...); err != nil {
			errs = append(errs, fmt.Errorf("remove the policy route: %w", err))
		}
	}
	return errors.Join(errs...)
}

// packages says what to install for a command.
var packages = map[string]string{"nft": "nftables", "ip": "iproute2"}

// run runs a command with the input. A failure whose text contains one of the alternatives in tolerate is none.
func run(ctx context.Context, input, tolerate string, command ...string) error {
	path, err := find(command[0])
	if err != nil {
		return fmt.Errorf("%s is not installed (package %s): %w", command[0], packages[command[0]], err)
	}
	cmd := exec.CommandContext(ctx, path, command[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdin = strings.NewReader(input)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	err = cmd.Run()
	if err == nil {
		return nil
	}
	said := strings.TrimSpace(stderr.String())
	if tolerate != "" && ctx.Err() == nil {
		for alternative := range strings.SplitSeq(tolerate, "|") {
			if strings.Contains(said, alternative) {
				return nil
			}
		}
	}
	if strings.Contains(said, "Operation not permitted") {
		err = fmt.Errorf("%w (needs root or CAP_NET_ADMIN)", err)
	}
	return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, said)
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
