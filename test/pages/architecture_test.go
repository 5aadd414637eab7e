package pages

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const architecture = "docs/dev/architecture.md"

// rows gives the cells of the lines of a page that begin a table's row with a pattern, or of all.
func rows(t *testing.T, page, begin string) (list [][]string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	beginning := regexp.MustCompile(begin)
	for line := range strings.SplitSeq(fenced.ReplaceAllString(string(content), ""), "\n") {
		if !beginning.MatchString(line) || strings.HasPrefix(line, "|---") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		list = append(list, cells)
	}
	return list
}

// quoted gives what stands in a cell between backticks.
func quoted(cell string) (list []string) {
	for _, m := range inline.FindAllString(cell, -1) {
		list = append(list, strings.Trim(m, "`"))
	}
	return list
}

// importsOf gives what each package imports of the others, which are called by their last name there.
func importsOf(t *testing.T) map[string][]string {
	t.Helper()
	list := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./internal/...", "./cmd/...")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	const ours = "kanmon/"
	imports := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		name := strings.TrimPrefix(fields[0], ours)
		imports[name] = nil
		for _, imported := range fields[1:] {
			if short, is := strings.CutPrefix(imported, ours); is {
				imports[name] = append(imports[name], path.Base(short))
			}
		}
	}
	return imports
}

// The table of packages has all packages, and of each all that it imports of the others.
func TestPackagesAreThoseOfThePage(t *testing.T) {
	imports := importsOf(t)
	for _, row := range rows(t, architecture, "^\\| `(internal|cmd)/[a-z/]+` \\|") {
		name := quoted(row[0])[0]
		want, is := imports[name]
		if !is {
			t.Errorf("%s: %s is no package", architecture, name)
			continue
		}
		delete(imports, name)
		got := quoted(row[2])
		slices.Sort(got)
		slices.Sort(want)
		if name != "internal/daemon" && !slices.Equal(got, want) {
			t.Errorf("%s: %s is said to import %v, and imports %v", architecture, name, got, want)
		}
	}
	for name := range imports {
		t.Errorf("%s: %s has no row", architecture, name)
	}
}

// There are twelve doors, each a question: a package that is next goes behind one of them.
func TestThereAreTwelveDoors(t *testing.T) {
	doors, err := filepath.Glob(filepath.Join(root, "internal", "*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(doors) == 0 || len(doors) > 12 {
		t.Errorf("internal has %d folders: %v", len(doors), doors)
	}
}

// The linter has a rule for each package below internal, which allows no import of the others that there is not.
func TestEachPackageHasARule(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(root, ".golangci.yml"))
	if err != nil {
		t.Fatal(err)
	}
	ruled, folder, ours := map[string]bool{}, regexp.MustCompile(`"\*\*/internal/([\w/]+)/\*\.go"`), regexp.MustCompile(`"kanmon/internal/([\w/]+)\$?"`)
	imports := importsOf(t)
	for _, rule := range regexp.MustCompile(`(?m)^ {10}files: (.*)\n(?: {10}allow: (.*)\n)?`).FindAllStringSubmatch(string(content), -1) {
		var all []string // that the packages of the rule import
		for _, m := range folder.FindAllStringSubmatch(rule[1], -1) {
			ruled[m[1]] = true
			all = append(all, imports["internal/"+m[1]]...)
		}
		for _, m := range ours.FindAllStringSubmatch(rule[2], -1) {
			if !slices.Contains(all, path.Base(m[1])) {
				t.Errorf(".golangci.yml: the rule of %s allows %s, which none of them imports", rule[1], m[1])
			}
		}
	}
	for name := range imports {
		if short, below := strings.CutPrefix(name, "internal/"); below && !ruled[short] {
			t.Errorf(".golangci.yml: no rule of depguard is about %s", name)
		}
	}
}

var (
	isFile = regexp.MustCompile(`^[\w./*-]+\.(go|toml|sh|yaml|txt|md|service)$|^[\w.-]+(/[\w.*-]+)+$`)
	isName = regexp.MustCompile(`^[A-Za-z]\w*$`)
)

// Every file that the page names is there, and has what is named with it.
func TestFilesOfThePageAreThere(t *testing.T) {
	checked := 0
	for _, row := range rows(t, architecture, `^\| `) {
		var folders, files, names []string
		if first := quoted(row[0]); len(first) > 0 && len(find(nil, first[0])) > 0 {
			folders = first[:1]
		}
		for _, what := range quoted(strings.Join(row[1:], " ")) {
			switch found := find(folders, what); {
			case !isFile.MatchString(what):
				names = append(names, what)
			case len(found) == 0:
				t.Errorf("%s, %q: there is no %s", architecture, row[0], what)
			default:
				folders, files = append(folders, folderOf(found[0])), append(files, found...)
			}
		}
		for _, name := range names {
			if len(files) > 0 && isName.MatchString(name) && len(find(nil, name)) == 0 && !mentions(files, name) {
				t.Errorf("%s, %q: %s is in none of %v", architecture, row[0], name, files)
			}
		}
		checked += len(files)
	}
	if checked < 100 {
		t.Errorf("%d files are named: the test shows nothing", checked)
	}
}

// find gives the files, or folders, that a name of the page stands for: in the folders of those before it, behind a door below internal, or from the root.
func find(folders []string, name string) []string {
	for _, in := range append(slices.Clone(folders), "internal", "internal/*", "internal/*/*", "") {
		if found, _ := filepath.Glob(filepath.Join(root, in, name)); len(found) > 0 {
			return found
		}
	}
	return nil
}

// folderOf gives the folder of a file, from the root of the repository.
func folderOf(file string) string {
	relative, err := filepath.Rel(root, file)
	if err != nil {
		return ""
	}
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		return relative
	}
	return path.Dir(relative)
}

// mentions reports whether a word stands in one of the files, in the test of one, or in a folder's.
func mentions(files []string, word string) bool {
	whole := regexp.MustCompile(`\b` + word + `\b`)
	return slices.ContainsFunc(files, func(file string) bool {
		all := []string{file, strings.TrimSuffix(file, ".go") + "_test.go"}
		if info, err := os.Stat(file); err == nil && info.IsDir() {
			all, _ = filepath.Glob(filepath.Join(file, "*.go"))
		}
		return slices.ContainsFunc(all, func(one string) bool {
			content, err := os.ReadFile(one)
			return err == nil && whole.Match(content)
		})
	})
}
