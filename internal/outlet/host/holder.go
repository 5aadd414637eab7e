package host

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Holder names the process that has a socket open, as "master (process 812)", by the number of its inode
// (proc_net_tcp(5)) and the folder of /proc; "" where that is not told: the processes of others are shown to root
// alone.
func Holder(proc, inode string) string {
	want := "socket:[" + inode + "]"
	processes, err := filepath.Glob(filepath.Join(proc, "[0-9]*"))
	if err != nil {
		return ""
	}
	for _, process := range processes {
		files, err := os.ReadDir(filepath.Join(process, "fd"))
		if err != nil {
			continue // another's, or it has ended meanwhile
		}
		for _, file := range files {
			if to, err := os.Readlink(filepath.Join(process, "fd", file.Name())); err != nil || to != want {
				continue
			}
			name, err := os.ReadFile(filepath.Join(process, "comm"))
			if err != nil {
				name = []byte("a program")
			}
			return fmt.Sprintf("%s (process %s)", strings.TrimSpace(string(name)), filepath.Base(process))
		}
	}
	return ""
}
