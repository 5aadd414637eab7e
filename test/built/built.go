// Package built is where tests get the program from that they run.
package built

import (
	"fmt"
	"io"
	"os"
	"os/exec"
)

// Variable names the program that `make test` has built for all of its parts: linking it takes as long as many of them. Without it each builds it.
const Variable = "KANMON_PROGRAM"

// Kanmon puts the program to a path of the caller's, where other users can run it.
func Kanmon(path string) error {
	if from := os.Getenv(Variable); from != "" {
		return copied(path, from)
	}
	if out, err := exec.Command("go", "build", "-o", path, "kanmon/cmd/kanmon").CombinedOutput(); err != nil {
		return fmt.Errorf("build kanmon: %w\n%s", err, out)
	}
	return nil
}

func copied(path, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("%s: %w", Variable, err)
	}
	defer in.Close()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return fmt.Errorf("%s: %w", Variable, err)
	}
	if _, err = io.Copy(out, in); err != nil {
		_ = out.Close()
		return fmt.Errorf("%s: %w", Variable, err)
	}
	return out.Close()
}
