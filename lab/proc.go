package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is the unit of CPU times in /proc: Linux shows hundredths of a second on every machine.
const tick = time.Second / 100

// raiseDescriptors allows this process and its children as many descriptors as the machine grants.
func raiseDescriptors() error {
	limit, err := descriptors()
	if err != nil {
		return err
	}
	limit.Cur = limit.Max
	// Set by name, or the runtime would give children the limit that this process was started with.
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("raise limit of descriptors: %w", err)
	}
	return nil
}

func descriptors() (limit syscall.Rlimit, err error) {
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return limit, fmt.Errorf("limit of descriptors: %w", err)
	}
	return limit, nil
}

// A usage is what a process has used so far, and what it holds.
type usage struct {
	cpu      time.Duration
	resident int // KiB
}

func usageOf(pid int) (usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, fmt.Errorf("CPU of process %d: %w", pid, err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return usage{}, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	// The name in parentheses may contain anything; user and system time are the 14th and 15th field.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	size := strings.Fields(rest)
	if len(fields) < 13 || len(size) == 0 {
		return usage{}, fmt.Errorf("usage of process %d: it has ended", pid)
	}
	var numbers [3]int
	for i, text := range []string{fields[11], fields[12], size[0]} {
		if numbers[i], err = strconv.Atoi(text); err != nil {
			return usage{}, fmt.Errorf("usage of process %d: %w", pid, err)
		}
	}
	return usage{cpu: time.Duration(numbers[0]+numbers[1]) * tick, resident: numbers[2]}, nil
}

// openFiles is how many descriptors a process has open.
func openFiles(pid int) (int, error) {
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return 0, fmt.Errorf("descriptors of process %d: %w", pid, err)
	}
	return len(files), nil
}

// busyNow is how long all CPUs of the machine have worked so far; 0 if the kernel does not say.
func busyNow() (busy time.Duration) {
	stat, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(stat), "\n")
	for i, field := range strings.Fields(line) {
		if i != 1 && i != 2 && i != 3 && i != 6 && i != 7 && i != 8 { // user, nice, system, interrupts, steal
			continue
		}
		n, err := strconv.Atoi(field)
		if err != nil {
			return 0
		}
		busy += time.Duration(n) * tick
	}
	return busy
}

// loadAverage is that of the last minute; "unknown" if the kernel does not say.
func loadAverage() string {
	averages, _ := os.ReadFile("/proc/loadavg")
	first, _, found := strings.Cut(string(averages), " ")
	if !found {
		return "unknown"
	}
	return first
}
