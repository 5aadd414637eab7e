package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"kanmon/internal/store"
)

// openIn reads which conditions hold, the oldest first: all of them, since what is not shown is counted. What is only observed, and what has not stood for long enough to be told, is none.
func openIn(ctx context.Context, f *store.File) (list []standingNow, err error) {
	rows, err := f.QueryContext(ctx, "SELECT last FROM notify_subjects WHERE state <> '' AND (told <> '' OR due = 0 OR held > 0) AND key NOT LIKE 'would%' ORDER BY since, key LIMIT ?", mostSubjects)
	if err != nil {
		return nil, err
	}
	all, err := texts(rows)
	if err != nil {
		return nil, err
	}
	for _, text := range all {
		var e standingNow
		if err := json.Unmarshal([]byte(text), &e.Event); err != nil {
			return nil, f.Misread(err)
		}
		list = append(list, e)
	}
	return list, nil
}

// peek is openIn of a file that another process may write to: a copy is looked at.
func peek(ctx context.Context, folder string) (list []standingNow, err error) {
	path := filepath.Join(folder, FileName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	temp, err := os.MkdirTemp("", "kanmon")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	copied := filepath.Join(temp, FileName)
	if err := store.Copy(ctx, path, copied); err != nil {
		return nil, fmt.Errorf("copy %s: %w", path, err)
	}
	f, err := store.Open(copied, patience, schema)
	if err != nil {
		return nil, err
	}
	list, err = openIn(ctx, f)
	return list, errors.Join(err, f.Close())
}
