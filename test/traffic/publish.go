package traffic

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Publish prints a report, and writes it to a file if that has a name.
func Publish(text, file string) error {
	if _, err := io.WriteString(os.Stdout, text); err != nil {
		return fmt.Errorf("print report: %w", err)
	}
	if file == "" {
		return nil
	}
	err := os.MkdirAll(filepath.Dir(file), 0o755)
	if err == nil {
		err = os.WriteFile(file, []byte(text), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}
