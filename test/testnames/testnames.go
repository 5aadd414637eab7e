// Package testnames knows the tests by their names. Pages and tables say which test shows what; a name that no test has is a claim that nobody keeps.
package testnames

import (
	"os"
	"path/filepath"
	"regexp"
)

var function = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)

// In gives the names of all tests in a folder.
func In(folder string) (map[string]bool, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, found := range function.FindAllSubmatch(text, -1) {
			names[string(found[1])] = true
		}
	}
	return names, nil
}
