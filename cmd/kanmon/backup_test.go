package main

import (
	"errors"
	"strings"
	"testing"

	"kanmon/internal/backup"
)

// Where a restore could not be undone, nobody is told that everything is as it was.
func TestARestoreThatIsNotUndoneSaysSo(t *testing.T) {
	failed := errors.New("no space")
	for _, err := range []error{failed, errors.Join(failed, backup.ErrNotUndone)} {
		said := notRestored(err)
		if undone := !errors.Is(err, backup.ErrNotUndone); strings.Contains(said.Error(), "restored, everything is as it was") != undone || !errors.Is(said, failed) {
			t.Errorf("%v: %v", err, said)
		}
	}
}
