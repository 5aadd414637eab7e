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

// The table of packages has all packages, and of each all that it imports of the others.
func TestPackagesAreThoseOfThePage(t *testing.T) {
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
				imports[name] = append(imports[name], strings.TrimPrefix(short, "internal/"))
			}
		}
	}
	for _, row := range rows(t, architecture, "^\\| `(internal|cmd)/[a-z]+` \\|") {
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

// find gives the files, or folders, that a name of the page stands for: in the folders of those before it, below internal, or from the root.
func find(folders []string, name string) []string {
	for _, in := range append(slices.Clone(folders), "internal", "") {
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
