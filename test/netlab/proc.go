package netlab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// userHZ is the unit of CPU times in /proc: Linux shows hundredths of a second on every machine.
const userHZ = 100

const tick = time.Second / userHZ

// A CPUTime is what processes have used.
type CPUTime struct {
	User, System time.Duration
}

// All is the sum.
func (t CPUTime) All() time.Duration { return t.User + t.System }

// Minus is what was used since o.
func (t CPUTime) Minus(o CPUTime) CPUTime { return CPUTime{t.User - o.User, t.System - o.System} }

// Plus is what both have used.
func (t CPUTime) Plus(o CPUTime) CPUTime { return CPUTime{t.User + o.User, t.System + o.System} }

// CPUOf reads what a process and its children have used.
func CPUOf(pid int) (CPUTime, error) {
	var sum CPUTime
	for _, p := range family(pid) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p))
		if err != nil {
			return CPUTime{}, fmt.Errorf("CPU of process %d: %w", p, err)
		}
		// The name in parentheses may contain anything; user and system time are the 14th and 15th field.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 13 {
			return CPUTime{}, fmt.Errorf("CPU of process %d: short stat", p)
		}
		user, err1 := strconv.Atoi(fields[11])
		system, err2 := strconv.Atoi(fields[12])
		if err := errors.Join(err1, err2); err != nil {
			return CPUTime{}, fmt.Errorf("CPU of process %d: %w", p, err)
		}
		sum = sum.Plus(CPUTime{time.Duration(user) * tick, time.Duration(system) * tick})
	}
	return sum, nil
}

// family is a process and its children: nginx works in those.
func family(pid int) []int {
	pids := []int{pid}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return pids
	}
	for field := range strings.FieldsSeq(string(children)) {
		if child, err := strconv.Atoi(field); err == nil {
			pids = append(pids, child)
		}
	}
	return pids
}

// ResidentOf reads the resident memory of a process and its children, in KiB.
func ResidentOf(pid int) (int, error) {
	sum := 0
	for _, p := range family(pid) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p))
		if err != nil {
			return 0, fmt.Errorf("memory of process %d: %w", p, err)
		}
		_, rest, _ := strings.Cut(string(status), "VmRSS:")
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			return 0, fmt.Errorf("memory of process %d: it has none", p)
		}
		kib, err := strconv.Atoi(fields[0])
		if err != nil {
			return 0, fmt.Errorf("memory of process %d: %w", p, err)
		}
		sum += kib
	}
	return sum, nil
}

// MachineBusy reads how long all CPUs together have worked for processes, or were taken away by a hypervisor. Interrupts are left
// out: they cannot be told apart by process.
func MachineBusy() (time.Duration, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("CPU of the machine: %w", err)
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, errors.New("CPU of the machine: short stat")
	}
	var sum time.Duration
	for _, i := range []int{1, 2, 3, 8} { // user, nice, system, steal
		n, err := strconv.Atoi(fields[i])
		if err != nil {
			return 0, fmt.Errorf("CPU of the machine: %w", err)
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}

// Listening says whether a TCP port is being listened on in the network namespace of a process.
func Listening(pid, port int) bool {
	for _, file := range []string{"tcp", "tcp6"} {
		table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, file))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(table)) {
			fields := strings.Fields(line)
			if len(fields) > 3 && fields[3] == "0A" && strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", port)) {
				return true
			}
		}
	}
	return false
}

// OpenFiles is how many descriptors a process has open.
func OpenFiles(pid int) (int, error) {
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return 0, fmt.Errorf("descriptors of process %d: %w", pid, err)
	}
	return len(files), nil
}

// RaiseDescriptors allows this process and its children as many descriptors as the machine grants, and says how many.
func RaiseDescriptors() (int, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("limit of descriptors: %w", err)
	}
	limit.Cur = limit.Max
	// Set by name, or the runtime would give children the limit that this process was started with.
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("raise limit of descriptors: %w", err)
	}
	return int(min(limit.Cur, 1<<20)), nil
}
