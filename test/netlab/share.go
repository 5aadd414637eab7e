package netlab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A Share is a part of the machine's CPUs that some processes have to make do with, whatever they try: a control group of the kernel's.
// The last process of a lab removes it; the next run removes what a killed one left.
type Share struct {
	dir   string
	tasks string // file that a process enters by
}

// ErrNoShares is returned by NewShare where the kernel gives none.
var ErrNoShares = errors.New("no control groups for CPUs")

const (
	sharePrefix = "kanmon-share-"
	sharePeriod = 20_000 // microseconds: short, so that who has used his part up does not wait long and then storm
)

// NewShare makes a share of so many CPUs, which may be a fraction. It goes with the lab.
func (l *Lab) NewShare(cpus float64) (*Share, error) {
	quota := strconv.Itoa(int(cpus * sharePeriod))
	for _, kind := range []struct{ root, file, quota, period string }{
		{"/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", quota, "cpu.cfs_period_us"},
		{"/sys/fs/cgroup", "cpu.max", quota + " " + strconv.Itoa(sharePeriod), ""},
	} {
		sweepShares(kind.root)
		dir := filepath.Join(kind.root, sharePrefix+filepath.Base(filepath.Dir(runDir()))+"@"+filepath.Base(l.Dir))
		if err := os.Mkdir(dir, 0o755); err != nil {
			continue
		}
		s := &Share{dir: dir, tasks: filepath.Join(dir, "cgroup.procs")}
		var err error
		if kind.period != "" {
			err = tell(filepath.Join(dir, kind.period), strconv.Itoa(sharePeriod))
		}
		if err = errors.Join(err, tell(filepath.Join(dir, kind.file), kind.quota)); err != nil {
			_ = os.Remove(dir)
			continue
		}
		l.Cleanup(s.remove)
		return s, nil
	}
	return nil, ErrNoShares
}

// tell writes to a file of the kernel's. One that is not there is not made: the folder is no control group then.
func tell(file, text string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// Take puts a process and what it will start into the share.
func (s *Share) Take(pid int) error {
	if err := tell(s.tasks, strconv.Itoa(pid)); err != nil {
		return fmt.Errorf("put process %d into a share of the CPUs: %w", pid, err)
	}
	return nil
}

func (s *Share) remove() error {
	if err := os.Remove(s.dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove a share of the CPUs: %w", err)
	}
	return nil
}

// SharesOf gives the shares that a run has, by its folder.
func SharesOf(folder string) (shares []string) {
	for _, root := range []string{"/sys/fs/cgroup/cpu", "/sys/fs/cgroup"} {
		found, _ := filepath.Glob(filepath.Join(root, sharePrefix+filepath.Base(folder)+"@*"))
		shares = append(shares, found...)
	}
	return shares
}

// sweepShares removes what killed runs left.
func sweepShares(root string) {
	left, _ := filepath.Glob(filepath.Join(root, sharePrefix+"*"))
	for _, dir := range left {
		run, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), sharePrefix), "@")
		if !alive(filepath.Join(os.TempDir(), run)) {
			_ = os.Remove(dir)
		}
	}
}
