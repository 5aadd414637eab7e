package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A file is what a package says of one of its files: "-rwxr-xr-x root/root ./usr/bin/kanmon".
type file struct {
	mode, owner, path string
}

// wanted are files that every package brings, with their modes.
var wanted = map[string]string{
	"/usr/bin/kanmon":                                             "-rwxr-xr-x",
	"/usr/lib/systemd/system/kanmon.service":                      "-rw-r--r--",
	"/usr/lib/systemd/system/kanmon.socket":                       "-rw-r--r--",
	"/usr/lib/systemd/system/kanmon-rules.service":                "-rw-r--r--",
	"/usr/lib/systemd/system/kanmon-history.service":              "-rw-r--r--",
	"/usr/lib/systemd/system/kanmon-view.service":                 "-rw-r--r--",
	"/usr/lib/sysusers.d/kanmon.conf":                             "-rw-r--r--",
	"/usr/lib/tmpfiles.d/kanmon.conf":                             "-rw-r--r--",
	"/etc/logrotate.d/kanmon":                                     "-rw-r--r--",
	"/usr/share/doc/kanmon/copyright":                             "-rw-r--r--",
	"/usr/share/doc/kanmon/README.md":                             "-rw-r--r--",
	"/usr/share/doc/kanmon/examples/kanmon.toml":                  "-rw-r--r--",
	"/usr/share/doc/kanmon/examples/site.toml":                    "-rw-r--r--",
	"/usr/share/doc/kanmon/examples/grafana/kanmon-gateway.json":  "-rw-r--r--",
	"/usr/share/doc/kanmon/examples/grafana/kanmon-overview.json": "-rw-r--r--",
	"/usr/share/doc/kanmon/examples/grafana/kanmon-provider.json": "-rw-r--r--",
	"/usr/share/doc/kanmon/examples/grafana/kanmon-tenant.json":   "-rw-r--r--",
	"/usr/share/doc/kanmon/examples/prometheus/kanmon.rules.yml":  "-rw-r--r--",
	"/usr/share/doc/kanmon/examples/shipping/fluent-bit.yaml":     "-rw-r--r--",
	"/usr/share/doc/kanmon/examples/shipping/rsyslog.conf":        "-rw-r--r--",
	"/usr/share/doc/kanmon/examples/shipping/vector.yaml":         "-rw-r--r--",
	"/usr/share/doc/kanmon/docs/ref/configuration.md":             "-rw-r--r--",
	"/usr/share/man/man1/kanmon.1.gz":                             "-rw-r--r--",
	"/usr/share/man/man5/kanmon.toml.5.gz":                        "-rw-r--r--",
	"/usr/share/bash-completion/completions/kanmon":               "-rw-r--r--",
	"/usr/share/fish/vendor_completions.d/kanmon.fish":            "-rw-r--r--",
}

// zsh is where the shell looks for what packages bring, by the format that its distribution has.
var zsh = map[string]string{"deb": "/usr/share/zsh/vendor-completions/_kanmon", "rpm": "/usr/share/zsh/site-functions/_kanmon"}

// places are where a package may put files at all. /etc/kanmon is not among them: a configuration is a person's.
var places = regexp.MustCompile(`^/(usr/(bin/kanmon$|lib/(systemd|sysusers\.d|tmpfiles\.d)/|share/(doc/kanmon|man|bash-completion|zsh|fish|lintian)/)|etc/(logrotate\.d|needrestart/conf\.d)/)`)

// contents looks at what each package would put where.
func (b *bench) contents() (string, error) {
	counts := []string{}
	for _, arch := range arches {
		deb, err := b.debFiles(arch)
		if err != nil {
			return "", err
		}
		rpm, err := b.rpmFiles(arch)
		if err != nil {
			return "", err
		}
		for format, files := range map[string][]file{"deb": deb, "rpm": rpm} {
			if !slices.ContainsFunc(files, func(f file) bool { return f.path == zsh[format] }) {
				return "", fmt.Errorf("%s for %s: %s is missing", format, arch, zsh[format])
			}
			if err := judgeFiles(files); err != nil {
				return "", fmt.Errorf("%s for %s: %w", format, arch, err)
			}
		}
		counts = append(counts, fmt.Sprintf("%s: %d files in the deb, %d in the rpm", arch, len(deb), len(rpm)))
	}
	return strings.Join(counts, "; "), nil
}

var link = regexp.MustCompile(`\]\(([^)\s#:]+)(?:#[^)]*)?\)`)

// readme looks at where the first page of a deb leads: Debian names some documents in its own way.
func (b *bench) readme() (string, error) {
	deb, err := b.packageOf(newer, "deb", b.arch())
	if err != nil {
		return "", err
	}
	root := filepath.Join(b.dir, "readme")
	if _, err := b.output("dpkg-deb", "--extract", deb, root); err != nil {
		return "", err
	}
	pages := filepath.Join(root, "usr/share/doc/kanmon")
	text, err := os.ReadFile(filepath.Join(pages, "README.md"))
	if err != nil {
		return "", err
	}
	links := link.FindAllStringSubmatch(string(text), -1)
	for _, m := range links {
		if _, err := os.Stat(filepath.Join(pages, m[1])); err != nil {
			return "", fmt.Errorf("README.md leads to %s: %w", m[1], err)
		}
	}
	return fmt.Sprintf("%d links", len(links)), nil
}

func judgeFiles(files []file) error {
	for path, mode := range wanted {
		i := slices.IndexFunc(files, func(f file) bool { return f.path == path })
		switch {
		case i < 0:
			return fmt.Errorf("%s is missing", path)
		case files[i].mode != mode:
			return fmt.Errorf("%s has the mode %s, want %s", path, files[i].mode, mode)
		}
	}
	for _, f := range files {
		switch {
		case f.owner != "root/root":
			return fmt.Errorf("%s belongs to %s", f.path, f.owner)
		case !places.MatchString(f.path):
			return fmt.Errorf("%s has no business in a package", f.path)
		case f.mode != "-rw-r--r--" && f.path != "/usr/bin/kanmon":
			return fmt.Errorf("%s has the mode %s", f.path, f.mode)
		}
	}
	return nil
}

func (b *bench) debFiles(arch string) ([]file, error) {
	path, err := b.packageOf(newer, "deb", arch)
	if err != nil {
		return nil, err
	}
	out, err := b.output("dpkg-deb", "--contents", path)
	if err != nil {
		return nil, err
	}
	var files []file
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) >= 6 && !strings.HasPrefix(line, "d") {
			files = append(files, file{fields[0], fields[1], strings.TrimPrefix(fields[5], ".")})
		}
	}
	return files, nil
}

// rpmArch are the names that rpm has for arches.
var rpmArch = map[string]string{"amd64": "x86_64", "arm64": "aarch64"}

func (b *bench) rpmFiles(arch string) ([]file, error) {
	path, err := b.packageOf(newer, "rpm", rpmArch[arch])
	if err != nil {
		return nil, err
	}
	out, err := b.output("rpm", "--query", "--package", "--queryformat", `[%{FILEMODES:perms} %{FILEUSERNAME}/%{FILEGROUPNAME} %{FILENAMES}\n]`, path)
	if err != nil {
		return nil, err
	}
	var files []file
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) == 3 && !strings.HasPrefix(line, "d") {
			files = append(files, file{fields[0], fields[1], fields[2]})
		}
	}
	return files, nil
}

// control looks at what packages say of themselves: names, versions, and what of them an operator may change.
func (b *bench) control() (string, error) {
	for _, arch := range arches {
		deb, err := b.packageOf(newer, "deb", arch)
		if err != nil {
			return "", err
		}
		control, err := b.output("dpkg-deb", "--field", deb)
		if err != nil {
			return "", err
		}
		for _, field := range []string{"Package: kanmon", "Version: " + newer + "-1", "Architecture: " + arch, "Depends: nftables", "Section: mail"} {
			if !strings.Contains("\n"+control, "\n"+field) {
				return "", fmt.Errorf("the deb for %s does not say %q:\n%s", arch, field, control)
			}
		}
		conffiles, err := b.output("dpkg-deb", "--info", deb, "conffiles")
		if err != nil {
			return "", err
		}
		if want := "/etc/logrotate.d/kanmon\n/etc/needrestart/conf.d/kanmon.conf\n"; conffiles != want {
			return "", fmt.Errorf("conffiles of the deb:\n%swant:\n%s", conffiles, want)
		}
		rpm, err := b.packageOf(newer, "rpm", rpmArch[arch])
		if err != nil {
			return "", err
		}
		said, err := b.output("rpm", "--query", "--package", "--queryformat", `%{NAME} %{VERSION}-%{RELEASE} %{ARCH} %{LICENSE}`+"\n"+`[%{FILEFLAGS:fflags} %{FILENAMES}`+"\n]", rpm)
		if err != nil {
			return "", err
		}
		for _, line := range []string{"kanmon " + newer + "-1 " + rpmArch[arch] + " Apache-2.0\n", "cn /etc/logrotate.d/kanmon\n"} {
			if !strings.Contains(said, line) {
				return "", fmt.Errorf("the rpm for %s does not say %q:\n%s", arch, line, said)
			}
		}
	}
	return "names, versions and conffiles as they should be", nil
}

// sums checks SHA256SUMS, and that it leaves nothing out.
func (b *bench) sums() (string, error) {
	dir := b.packages(newer)
	if _, err := b.output("sh", "-c", fmt.Sprintf("cd %q && sha256sum --check --strict --quiet SHA256SUMS", dir)); err != nil {
		return "", err
	}
	sums, err := os.Open(filepath.Join(dir, "SHA256SUMS"))
	if err != nil {
		return "", err
	}
	defer func() { _ = sums.Close() }()
	named := map[string]bool{"SHA256SUMS": true}
	for lines := bufio.NewScanner(sums); lines.Scan(); {
		named[strings.Fields(lines.Text())[1]] = true
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, entry := range entries {
		if !named[entry.Name()] {
			return "", fmt.Errorf("SHA256SUMS leaves %s out", entry.Name())
		}
	}
	return fmt.Sprintf("%d files", len(named)-1), nil
}

// materials checks that the bills of materials are CycloneDX, and name what is in the program, with licences.
func (b *bench) materials() (string, error) {
	said := []string{}
	for _, arch := range arches {
		text, err := os.ReadFile(filepath.Join(b.packages(newer), fmt.Sprintf("kanmon_%s_linux_%s.cdx.json", newer, arch)))
		if err != nil {
			return "", err
		}
		var bill struct {
			Format     string `json:"bomFormat"`
			Components []struct {
				Name     string `json:"name"`
				Version  string `json:"version"`
				Licenses []any  `json:"licenses"`
			} `json:"components"`
		}
		if err := json.Unmarshal(text, &bill); err != nil {
			return "", fmt.Errorf("%s: %w", arch, err)
		}
		named := map[string]bool{}
		licensed := 0
		for _, c := range bill.Components {
			named[c.Name] = c.Version != ""
			if len(c.Licenses) > 0 {
				licensed++
			}
		}
		for _, name := range []string{"std", "modernc.org/sqlite", "github.com/pelletier/go-toml/v2"} {
			if !named[name] {
				return "", fmt.Errorf("%s: %s is not named with its version", arch, name)
			}
		}
		if bill.Format != "CycloneDX" {
			return "", fmt.Errorf("%s: the format is %q", arch, bill.Format)
		}
		said = append(said, fmt.Sprintf("%s: %d components, %d with a licence", arch, len(bill.Components), licensed))
	}
	return strings.Join(said, "; "), nil
}

// tarball installs what is in the tarball, as a host without packages would, and compares it with the deb.
func (b *bench) tarball() (string, error) {
	name := fmt.Sprintf("kanmon-%s-linux-%s", newer, b.arch())
	root := filepath.Join(b.dir, "tarball")
	unpack := fmt.Sprintf("mkdir -p %[1]q && tar -C %[1]q -xzf %[2]q && PREFIX=/usr DESTDIR=%[1]q/host %[1]q/%[3]s/dist/install.sh install",
		root, filepath.Join(b.packages(newer), name+".tar.gz"), name)
	if _, err := b.output("sh", "-c", unpack); err != nil {
		return "", err
	}
	deb, err := b.debFiles(b.arch())
	if err != nil {
		return "", err
	}
	count := 0
	for _, f := range deb {
		if strings.HasPrefix(f.path, "/usr/share/doc/") || strings.HasPrefix(f.path, "/usr/share/lintian/") || strings.HasPrefix(f.path, "/etc/needrestart/") || f.path == zsh["deb"] {
			continue // Debian's names for them
		}
		_, plain := os.Stat(filepath.Join(root, "host", strings.TrimSuffix(f.path, ".gz")))
		if plain != nil {
			return "", fmt.Errorf("the tarball does not install %s: %w", f.path, plain)
		}
		count++
	}
	version, err := b.output(filepath.Join(root, "host/usr/bin/kanmon"), "version")
	if err != nil || !strings.HasPrefix(version, "kanmon "+newer+",") {
		return "", fmt.Errorf("kanmon version says %q, %w", version, err)
	}
	return fmt.Sprintf("installs %d files as the deb does", count), nil
}
