package story

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
)

// Write writes the lines into a folder, one file for each gateway, named after it.
func Write(dir string, o Options) (*Ledger, error) {
	type output struct {
		*bufio.Writer
		file *os.File
	}
	files := make(map[string]output)
	var names []string
	ledger, err := Tell(o, func(gateway string, line []byte) error {
		out, there := files[gateway]
		if !there {
			name := filepath.Join(dir, gateway+".jsonl")
			f, err := os.Create(name)
			if err != nil {
				return err
			}
			out = output{bufio.NewWriterSize(f, 1<<20), f}
			files[gateway] = out
			names = append(names, name)
		}
		_, err := out.Write(line)
		return err
	})
	for _, out := range files {
		err = errors.Join(err, out.Flush(), out.file.Close())
	}
	if err != nil {
		return nil, err
	}
	ledger.Files = names
	return ledger, nil
}
