// Package packaging holds what makes kanmon's packages, in shell and YAML. What takes longer than a moment, building them and
// what a Debian does with them, is in test/packages.
package packaging_test

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// install runs dist/install.sh with a program that is none.
func install(t *testing.T, what, prefix, destdir string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "program")
	write(t, program, "#!/bin/sh\n", 0o755)
	cmd := exec.Command("../dist/install.sh", what)
	cmd.Env = append(os.Environ(), "PREFIX="+prefix, "DESTDIR="+destdir, "KANMON="+program)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("install.sh %s: %v\n%s", what, err, out)
	}
	return string(out)
}

// tree gives the files below dir, each with its mode.
func tree(t *testing.T, dir string) map[string]fs.FileMode {
	t.Helper()
	files := map[string]fs.FileMode{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			files[strings.TrimPrefix(path, dir)] = info.Mode()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func write(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// firstday-14: an upgrade from source wrote the sample over the configuration.
func TestAnInstallationWritesOverNothingThatAnOperatorHasChanged(t *testing.T) {
	root := t.TempDir()
	install(t, "install", "/usr/local", root)
	if _, err := os.Stat(root + "/etc/kanmon"); err == nil {
		t.Error("an installation made /etc/kanmon: a configuration that nobody has written")
	}
	mine := map[string]string{
		"/etc/kanmon/kanmon.toml":     "[intercept]\nsources = [\"192.0.2.0/24\"]\n",
		"/etc/logrotate.d/kanmon":     "# thirty days are too many here\n",
		"/etc/tmpfiles.d/mine.conf":   "d /srv/mine\n",
		"/usr/local/bin/kanmon":       "an older program",
		"/usr/local/bin/kanmon.local": "not kanmon's\n",
	}
	for name, content := range mine {
		write(t, root+name, content, 0o640)
	}
	said := install(t, "install", "/usr/local", root)
	for name, content := range mine {
		got, changed := read(t, root+name), name == "/usr/local/bin/kanmon"
		if (got != content) != changed {
			t.Errorf("%s holds %q after an upgrade", name, got)
		}
	}
	if !strings.Contains(said, "kept as it is: "+root+"/etc/logrotate.d/kanmon") {
		t.Errorf("not told what was kept: %q", said)
	}
}

// Who follows a link of an installed page arrives at what is installed.
func TestInstalledPagesLeadToWhatIsInstalled(t *testing.T) {
	root := t.TempDir()
	install(t, "install", "/usr", root)
	pages := root + "/usr/share/doc/kanmon"
	blocks, link := regexp.MustCompile("(?ms)^```.*?^```$|`[^`\n]*`"), regexp.MustCompile(`\]\(([^)\s#]+)[^)]*\)`)
	followed := 0
	for name := range tree(t, pages) {
		if !strings.HasSuffix(name, ".md") {
			continue
		}
		for _, m := range link.FindAllStringSubmatch(blocks.ReplaceAllString(read(t, pages+name), ""), -1) {
			if strings.Contains(m[1], ":") {
				continue // another site
			}
			followed++
			if _, err := os.Stat(filepath.Join(pages, filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s leads to %s, which is not installed", name, m[1])
			}
		}
	}
	if followed < 100 {
		t.Errorf("%d links: they are not understood", followed)
	}
}

func TestWhatIsInstalledNamesThePlaceWhereItIs(t *testing.T) {
	for _, prefix := range []string{"/usr", "/usr/local", "/opt/kanmon"} {
		root := t.TempDir()
		install(t, "install", prefix, root)
		files := tree(t, root)
		if mode := files[prefix+"/bin/kanmon"]; mode != 0o755 {
			t.Errorf("%s: the program has the mode %v", prefix, mode)
		}
		program := regexp.MustCompile(`\S*/bin/kanmon\b`)
		for name, mode := range files {
			if mode&0o022 != 0 || mode&0o444 != 0o444 {
				t.Errorf("%s has the mode %v", name, mode)
			}
			if !strings.HasSuffix(name, ".service") {
				continue
			}
			unit := read(t, root+name)
			commands := program.FindAllString(unit, -1)
			if len(commands) == 0 {
				t.Errorf("%s runs no kanmon", name)
			}
			for _, command := range commands {
				if _, path, ok := strings.Cut(command, "="); ok {
					command = path
				}
				if command != prefix+"/bin/kanmon" {
					t.Errorf("%s runs %s", name, command)
				}
			}
		}
	}
}

func TestAnUninstallationTakesAwayWhatWasInstalledAndNothingElse(t *testing.T) {
	root := t.TempDir()
	before := map[string]string{
		"/etc/kanmon/kanmon.toml":        "mine",
		"/var/lib/kanmon/standing.db":    "learnt",
		"/usr/local/bin/another":         "not kanmon's",
		"/usr/local/share/doc/other/doc": "not kanmon's",
	}
	for name, content := range before {
		write(t, root+name, content, 0o644)
	}
	install(t, "install", "/usr/local", root)
	changed := root + "/etc/logrotate.d/kanmon"
	write(t, changed, "mine, too", 0o644)
	said := install(t, "uninstall", "/usr/local", root)
	want := append(slices.Collect(maps.Keys(before)), "/etc/logrotate.d/kanmon")
	got := slices.Collect(maps.Keys(tree(t, root)))
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("left:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !strings.Contains(said, changed) {
		t.Errorf("not told that %s was kept: %q", changed, said)
	}
}

// firstday-19: an older Go said only that it did not understand go.mod.
func TestAnOlderGoIsToldWhichOneIsNeeded(t *testing.T) {
	for have, good := range map[string]bool{"1.19.8": false, "1.25.9": false, "1.26.0": true, "1.26.8": true, "1.100.1": true} {
		goTool := filepath.Join(t.TempDir(), "go")
		write(t, goTool, "#!/bin/sh\necho go version go"+have+" linux/amd64\n", 0o755)
		out, err := exec.Command("./go-version.sh", goTool).CombinedOutput()
		if (err == nil) != good {
			t.Errorf("Go %s: %v", have, err)
		}
		if !good && !strings.Contains(string(out), "needs Go 1.26.0 or newer, and \""+goTool+"\" is Go "+have) {
			t.Errorf("Go %s is told %q", have, out)
		}
	}
	if out, err := exec.Command("./go-version.sh", "no-such-go").CombinedOutput(); err == nil || !strings.Contains(string(out), "have Go 1.26.0 or newer") {
		t.Errorf("without Go: %v, %q", err, out)
	}
}

func TestTheVersionIsThatOfTheTagOrSortsBehindIt(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "packaging/version.sh")
	write(t, script, read(t, "version.sh"), 0o755)
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@example.com"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_COMMITTER_DATE=2026-11-29T18:20:00Z", "GIT_AUTHOR_DATE=2026-11-29T18:20:00Z")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	version := func() string {
		t.Helper()
		cmd := exec.Command(script)
		cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir))
		out, err := cmd.CombinedOutput()
		if err != nil {
			return "error: " + string(out)
		}
		return strings.TrimSpace(string(out))
	}
	expect := func(what, pattern string) string {
		t.Helper()
		got := version()
		if !regexp.MustCompile(pattern).MatchString(got) {
			t.Errorf("%s: %q, want %s", what, got, pattern)
		}
		return got
	}
	const snapshot = `\+git20261129182000\.[0-9a-f]{12}`
	expect("no git", "^error: .*VERSION=1.2.3")
	git("init", "-q")
	git("add", ".")
	git("commit", "-q", "-m", "one")
	expect("no tag", "^0.0.0"+snapshot+"$")
	git("tag", "v1.2.3-rc.1")
	candidate := expect("a candidate", `^1\.2\.3~rc\.1$`)
	git("commit", "-q", "--allow-empty", "-m", "two")
	git("tag", "v1.2.3")
	release := expect("a release", `^1\.2\.3$`)
	git("commit", "-q", "--allow-empty", "-m", "three")
	later := expect("behind it", `^1\.2\.3`+snapshot+"$")
	write(t, script, read(t, "version.sh")+"# changed\n", 0o755)
	expect("changed", `^1\.2\.3`+snapshot+`\.dirty$`)

	order := []string{candidate, release, later, "1.2.4"}
	for i := range order[1:] {
		if out, err := exec.Command("dpkg", "--compare-versions", order[i]+"-1", "lt", order[i+1]+"-1").CombinedOutput(); err != nil {
			t.Errorf("%s does not come before %s: %v %s", order[i], order[i+1], err, out)
		}
	}
}

// Each unit that is to be enabled is named wherever units are enabled, stopped and forgotten.
func TestEveryUnitIsInEveryList(t *testing.T) {
	units, err := filepath.Glob("../dist/systemd/*")
	if err != nil || len(units) == 0 {
		t.Fatalf("units: %v, %v", units, err)
	}
	for _, path := range units {
		unit, content := filepath.Base(path), read(t, path)
		if !strings.Contains(content, "[Install]") {
			continue // goes with another one
		}
		lists := []string{"prerm.sh", "postrm.sh", "kanmon.preset"}
		if strings.Contains(read(t, "kanmon.preset"), "enable "+unit) {
			lists = append(lists, "postinst.sh")
		}
		for _, list := range lists {
			if !strings.Contains(read(t, list), unit) {
				t.Errorf("%s does not know %s", list, unit)
			}
		}
	}
}

// A host that has the package and no configuration starts nothing at a boot, and nothing fails there.
func TestUnitsWaitForAConfiguration(t *testing.T) {
	units, err := filepath.Glob("../dist/systemd/kanmon*.s*")
	if err != nil || len(units) < 3 {
		t.Fatalf("units: %v, %v", units, err)
	}
	condition := regexp.MustCompile(`(?m)^ConditionPathExists=\|?/etc/kanmon/kanmon\.toml$`)
	for _, unit := range units {
		if !condition.MatchString(read(t, unit)) {
			t.Errorf("%s starts, and fails, where there is no /etc/kanmon/kanmon.toml", unit)
		}
	}
}

// The guard stops with the rules and starts nothing: who has stopped the rules, and then starts the guard, has not taken that back.
func TestTheGuardStartsNothing(t *testing.T) {
	unit := read(t, "../dist/systemd/kanmon-rules-guard.service")
	if !strings.Contains(unit, "\nPartOf=kanmon-rules.service\n") {
		t.Error("the guard does not stop with the rules")
	}
	for _, pulls := range []string{"BindsTo", "Requires", "Requisite", "Wants", "Upholds"} {
		if strings.Contains(unit, "\n"+pulls+"=") {
			t.Errorf("the guard's unit has %s=, which starts what a person has stopped, or needs it", pulls)
		}
	}
}

// Who removes the package opens the way until a service starts again: not for good, which no later manage_rules would close.
func TestPackageIsRemovedWithRulesUntilTheNextStart(t *testing.T) {
	stubs := t.TempDir()
	said := filepath.Join(stubs, "said")
	inForce := filepath.Join(stubs, "in-force")
	write(t, inForce, "", 0o644)
	write(t, filepath.Join(stubs, "systemctl"), "#!/bin/sh\n[ \"$*\" = 'stop kanmon.service' ] && touch "+inForce+"\nexit 0\n", 0o755) // a kanmon that put them back
	write(t, filepath.Join(stubs, "nft"), "#!/bin/sh\n[ -e "+inForce+" ]\n", 0o755)
	write(t, filepath.Join(stubs, "kanmon"), "#!/bin/sh\necho \"$*\" >>"+said+"\nrm "+inForce+"\n", 0o755)
	for _, told := range []string{"remove", "0"} {
		write(t, inForce, "", 0o644)
		write(t, said, "", 0o644)
		cmd := exec.Command("./prerm.sh", told)
		cmd.Env = append(os.Environ(), "PATH="+stubs+":"+os.Getenv("PATH"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("prerm.sh %s: %v\n%s", told, err, out)
		}
		asked := strings.Fields(strings.ReplaceAll(read(t, said), "rules remove --unit kanmon-rules.service", "until-start"))
		if len(asked) == 0 || slices.ContainsFunc(asked, func(a string) bool { return a != "until-start" }) {
			t.Errorf("prerm.sh %s: kanmon is asked to %q", told, asked)
		}
	}
}

func TestScriptsAreSound(t *testing.T) {
	scripts, err := filepath.Glob("*.sh")
	if err != nil || len(scripts) < 6 {
		t.Fatalf("scripts: %v, %v", scripts, err)
	}
	for _, script := range append(scripts, "../dist/install.sh", "../test/setup/install.sh") {
		shell, _, _ := strings.Cut(strings.TrimPrefix(read(t, script), "#!"), "\n")
		if out, err := exec.Command(shell, "-n", script).CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
			t.Errorf("%s: %v %s", script, err, out)
		}
	}
}
