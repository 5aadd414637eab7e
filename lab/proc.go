package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"kanmon/test/netlab"
)

// tick is the unit of CPU times in /proc: Linux shows hundredths of a second on every machine.
const tick = time.Second / 100

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
	cpu, err := netlab.CPUOf(pid)
	if err != nil {
		return usage{}, err
	}
	resident, err := netlab.ResidentOf(pid)
	return usage{cpu: cpu.All(), resident: resident}, err
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
