package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"kanmon/internal/admin"
	"kanmon/internal/config"
	"kanmon/internal/daemon"
	"kanmon/internal/store/backup"
)

type backupCommand struct {
	configFlag
	File  string `arg:"" help:"The backup, a .tar.gz; \"-\" is standard output."`
	Force bool   `help:"Replace a backup of this name."`
}

// Run saves the state and the configuration, whether kanmon runs or not.
func (k *backupCommand) Run(c *console) error {
	dirs, guessed := stateOfHost(config.ServiceDirectories())
	cfg, err := config.LoadIn(k.Config, dirs)
	if err != nil {
		return err
	}
	items, missing := itemsOf(cfg, k.Config, guessed)
	set := backup.Set{Items: items, Program: describeBuild(buildInfo())}
	if k.File == "-" {
		_, err := backup.Write(context.Background(), c.stdout, set)
		return err
	}
	m, err := k.write(set)
	if err != nil {
		return fmt.Errorf("no backup: %w", err)
	}
	for _, f := range m.Files {
		fmt.Fprintf(c.stdout, "saved %s %s (%d octets)\n", f.Kind, f.Path, f.Octets)
	}
	for _, what := range missing {
		fmt.Fprintf(c.stdout, "not saved: %s\n", what)
	}
	secret := ""
	if cfg.TLS.MSAKey != "" || cfg.Journal.HashKeyFile != "" {
		secret = "; it holds a secret key"
	}
	_, err = fmt.Fprintf(c.stdout, "%s: good, %s%s\n", k.File, count(len(m.Files), "file"), secret)
	return err
}

// write makes the file whole, or not at all.
func (k *backupCommand) write(set backup.Set) (m backup.Manifest, err error) {
	if err := k.mayReplace(); err != nil {
		return m, err
	}
	set.Scratch = filepath.Dir(k.File)
	out, err := os.CreateTemp(set.Scratch, "."+filepath.Base(k.File)+"-") // mode 0600: keys are in it
	if err != nil {
		return m, err
	}
	m, err = backup.Write(context.Background(), out, set)
	err = errors.Join(err, out.Sync(), out.Close())
	if err == nil {
		_, err = backup.Open(out.Name()) // what cannot be read again is no backup
	}
	if err == nil {
		err = os.Rename(out.Name(), k.File)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(out.Name()))
	}
	return m, err
}

// mayReplace refuses a path at which there is something, unless it is a backup and --force was said: a configuration, a database in use or
// a device is never replaced.
func (k *backupCommand) mayReplace() error {
	there, err := os.Lstat(k.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := backup.Open(k.File); err != nil || !there.Mode().IsRegular() {
		return fmt.Errorf("%s is there already, and is no backup: name another file", k.File)
	}
	if !k.Force {
		return fmt.Errorf("%s is there already: name another file, or add --force", k.File)
	}
	return nil
}

// stateOfHost says where the databases are that the configuration does not name, for who is not told: at their usual
// place, if anywhere known.
func stateOfHost(given config.Directories) (dirs config.Directories, guessed bool) {
	if given.State == "" {
		given.State, guessed = config.UsualDirectories().State, true
	}
	return given, guessed
}

// itemsOf returns what a configuration names, and itself; and which state there is none of. What is not named may be
// anywhere where the place of the databases is guessed.
func itemsOf(cfg *config.Config, path string, guessed bool) (items []backup.Item, missing []string) {
	items = []backup.Item{{Kind: backup.Configuration, Path: path}}
	for _, plan := range cfg.PlanFiles() {
		items = append(items, backup.Item{Kind: backup.Configuration, Key: plan.Key, Path: plan.Path})
	}
	type file struct{ kind, key, path string }
	files := []file{
		{backup.Configuration, "providers_file", cfg.ProvidersFile},
		{backup.Configuration, "classification.rules", cfg.Classification.Rules},
		{backup.Configuration, "tls.msa_certificate", cfg.TLS.MSACertificate},
		{backup.Configuration, "tls.msa_key", cfg.TLS.MSAKey},
		{backup.Configuration, "journal.hash_key_file", cfg.Journal.HashKeyFile},
		{backup.Database, "standing.file", cfg.Standing.File},
		{backup.Database, "senders.file", cfg.Senders.File},
	}
	if cfg.TLSPolicy.On && cfg.TLSPolicy.MTASTS { // else there are no policies
		files = append(files, file{backup.Configuration, "tls_policy.roots", cfg.TLSPolicy.Roots}, file{backup.Database, "tls_policy.store", cfg.TLSPolicy.Store})
	}
	for _, named := range files {
		state := named.kind == backup.Database
		if named.path == "" {
			if state {
				missing = append(missing, named.key+" is off: kanmon keeps none of it")
			}
			continue
		}
		_, err := os.Stat(named.path)
		switch none := state && errors.Is(err, os.ErrNotExist); {
		case none && guessed && filepath.Dir(named.path) == config.UsualDirectories().State:
			missing = append(missing, fmt.Sprintf("%s: %s does not say where it is, and there is no %s: set STATE_DIRECTORY as for the kanmon that runs, if it has one", named.key, path, named.path))
			continue
		case none:
			missing = append(missing, fmt.Sprintf("%s: there is no %s yet", named.key, named.path))
			continue
		}
		items = append(items, backup.Item{Kind: named.kind, Key: named.key, Path: named.path})
	}
	return items, missing
}

type restoreCommand struct {
	File   string `arg:"" help:"The backup."`
	Only   string `enum:"all,state,configuration" default:"all" help:"\"state\": the databases alone; \"configuration\": the configuration and the files it names; default: all."`
	Root   string `help:"Put the files below this folder, to look at them." placeholder:"DIR"`
	DryRun bool   `name:"dry-run" help:"Compare the checksums and say what would be put where."`
}

// Run puts a backup in the place of what is there.
func (k *restoreCommand) Run(c *console) error {
	a, err := backup.Open(k.File)
	if err != nil {
		return fmt.Errorf("not restored: %w", err)
	}
	to := backup.Target{Root: k.Root, Known: daemon.Schemas(), Program: describeBuild(buildInfo())}
	switch k.Only {
	case "state":
		to.Kinds = []string{backup.Database}
	case "configuration":
		to.Kinds = []string{backup.Configuration}
	}
	fmt.Fprintf(c.stdout, "%s: made %s on %s by %s\n", k.File, when(a.Made), a.Host, a.Program)
	if k.DryRun {
		return k.list(c.stdout, a, &to)
	}
	all, err := a.Restore(context.Background(), to)
	if err != nil {
		return notRestored(err)
	}
	for _, p := range all {
		fmt.Fprintf(c.stdout, "restored %s %s", p.Kind, p.At)
		if p.Kept != "" {
			fmt.Fprintf(c.stdout, "; what was there is %s", p.Kept)
		}
		fmt.Fprintln(c.stdout)
	}
	_, err = fmt.Fprintln(c.stdout, "next:", k.next(all))
	return err
}

// next is what a person does behind a restore. A configuration can be put back while kanmon runs, which knows nothing of it then.
func (k *restoreCommand) next(all []backup.Placed) string {
	if k.Root != "" {
		return "look at them; nothing that kanmon uses was changed"
	}
	for _, p := range all {
		if p.Kind != backup.Configuration || len(p.Keys) > 0 {
			continue
		}
		if socket, _ := config.AdminSocket(p.At); answers(socket) {
			return `"kanmon check", then "systemctl reload kanmon": kanmon runs, and has the configuration of before until then`
		}
	}
	return `"kanmon check", then "systemctl start kanmon"`
}

// answers reports whether a kanmon runs that has this admin socket.
func answers(socket string) bool {
	if socket == config.Off {
		return false
	}
	_, err := admin.NewClient(socket).Status(context.Background())
	return err == nil
}

// notRestored says of a restore that has failed how it leaves things.
func notRestored(err error) error {
	if errors.Is(err, backup.ErrNotUndone) {
		return fmt.Errorf("not restored, and not everything is as it was; before kanmon starts, put back what bears a name FILE.before-restore-TIME: %w", err)
	}
	return fmt.Errorf("not restored, everything is as it was: %w", err)
}

func (k *restoreCommand) list(w io.Writer, a *backup.Archive, to *backup.Target) error {
	for i := range a.Files {
		f := &a.Files[i]
		if !to.Wants(f) {
			continue
		}
		fmt.Fprintf(w, "would restore %s %s", f.Kind, to.At(f))
		if len(f.Keys) > 0 {
			fmt.Fprintf(w, " (%s)", strings.Join(f.Keys, ", "))
		}
		fmt.Fprintln(w)
	}
	_, err := fmt.Fprintln(w, "every checksum is right; nothing was changed")
	return err
}
