package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
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

// A backup has the MTA-STS policies, if there are any: who begins without them can be made to send without.
func TestABackupHasPolicies(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"kanmon.toml": "[tls_policy]\nroots = \"" + dir + "/roots.pem\"\n", "off.toml": "[tls_policy]\nmta_sts = false\n", "none.toml": "", "roots.pem": "x", "tls.db": "x",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]bool{"kanmon.toml": true, "off.toml": false, "none.toml": false} {
		cfg, err := config.LoadIn(filepath.Join(dir, name), config.Directories{State: dir})
		if err != nil {
			t.Fatal(err)
		}
		items, missing := itemsOf(cfg, filepath.Join(dir, name), false)
		for _, item := range []backup.Item{
			{Kind: backup.Database, Key: "tls_policy.store", Path: dir + "/tls.db"}, {Kind: backup.Configuration, Key: "tls_policy.roots", Path: dir + "/roots.pem"},
		} {
			if has := slices.Contains(items, item); has != want {
				t.Errorf("%s: %+v is among the items: %t", name, item, has)
			}
		}
		if strings.Contains(strings.Join(missing, "\n"), "tls_policy") {
			t.Errorf("%s: missing %q", name, missing)
		}
	}
}
