package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kanmon/internal/config"
	"kanmon/internal/store/backup"
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

// A backup by hand, without the folders that the service manager gives a kanmon, does not call off what it has not found.
func TestABackupByHandDoesNotCallOffWhatItHasNotFound(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kanmon.toml")
	if err := os.WriteFile(file, []byte("[senders]\nfile = \"off\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := func(given config.Directories) string {
		dirs, guessed := stateOfHost(given)
		cfg, err := config.LoadIn(file, dirs)
		if err != nil {
			t.Fatal(err)
		}
		_, missing := itemsOf(cfg, file, guessed)
		return strings.Join(missing, "\n")
	}
	said := missing(config.Directories{})
	for _, want := range []string{"standing.file: " + file + " does not say where it is, and there is no /var/lib/kanmon/standing.db: set STATE_DIRECTORY", "senders.file is off: kanmon keeps none of it"} {
		if !strings.Contains(said, want) {
			t.Errorf("no %q in:\n%s", want, said)
		}
	}
	dir := t.TempDir()
	if said := missing(config.Directories{State: dir}); !strings.Contains(said, "standing.file: there is no "+dir+"/standing.db yet") {
		t.Errorf("with the folder: %s", said)
	}
}
