package check

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"kanmon/internal/intercept"
)

// compareRules says where a table in the kernel differs from the rules as they were written. nft lists rules in other words than it
// reads them in; so they are loaded into a network namespace of their own, listed there by the same nft, and compared as lists.
func compareRules(ctx context.Context, rules, table string) ([]Fault, error) {
	list := []string{"-s", "list", "table", "inet", table}
	have, err := nft(ctx, "", list...)
	if err != nil {
		return nil, err
	}
	want, err := aside(func() ([]byte, error) {
		if _, err := nft(ctx, rules, "-f", "-"); err != nil {
			return nil, err
		}
		return nft(ctx, "", list...)
	})
	if err != nil {
		return nil, err
	}
	missing, extra := difference(string(want), withoutHeld(string(have)))
	if missing == "" && extra == "" {
		return nil, nil
	}
	what := "the rules in force are not those of the configuration"
	if missing != "" {
		what += fmt.Sprintf("; there is no %q", missing)
	}
	if extra != "" {
		what += fmt.Sprintf("; there is %q", extra)
	}
	return []Fault{{What: what}}, nil
}

// withoutHeld leaves out what the rules in force do for connections from before them: no configuration asks for it.
func withoutHeld(listed string) string {
	var text strings.Builder
	held := false
	for line := range strings.Lines(listed) {
		words := strings.Fields(line)
		held = held || len(words) == 3 && words[2] == "{" && (words[0] == "set" || words[0] == "chain") && strings.HasPrefix(words[1], intercept.Held)
		if !held {
			text.WriteString(line)
		}
		held = held && strings.TrimSpace(line) != "}"
	}
	return text.String()
}

// aside runs fn in an empty network namespace, which ends with it.
func aside(fn func() ([]byte, error)) (text []byte, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends, and the namespace with it
		if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
			err = fmt.Errorf("make a network namespace: %w", err)
			if errors.Is(err, unix.EPERM) {
				err = errors.New("only root can load rules aside to compare them: sudo kanmon check")
			}
			return
		}
		text, err = fn()
	}()
	<-done
	return text, err
}

// difference returns the first line that one text has more of than the other, either way.
func difference(want, have string) (missing, extra string) {
	count := map[string]int{}
	for line := range strings.Lines(want) {
		count[strings.TrimSpace(line)]++
	}
	for line := range strings.Lines(have) {
		if line = strings.TrimSpace(line); count[line] == 0 && extra == "" {
			extra = line
		} else {
			count[line]--
		}
	}
	for line := range strings.Lines(want) {
		if line = strings.TrimSpace(line); count[line] > 0 {
			return line, extra
		}
	}
	return "", extra
}
