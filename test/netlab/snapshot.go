package netlab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// leftovers is the heading of what killed runs leave behind. A later run sweeps it away, so that here only what is new
// is a difference.
const leftovers = "left behind by killed runs"

// A Snapshot is the state of the host that a lab must leave as it found it, as sets of lines under a heading.
type Snapshot map[string][]string

// TakeSnapshot reads the host's state. It must be called outside of the isolated program.
func TakeSnapshot() Snapshot {
	s := Snapshot{}
	for heading, command := range map[string]string{
		"interfaces":  "ip -o link",
		"addresses":   "ip -o address",
		"IPv4 routes": "ip -4 route show table all",
		"IPv6 routes": "ip -6 route show table all",
		"IPv4 rules":  "ip -4 rule",
		"IPv6 rules":  "ip -6 rule",
		"firewall":    "nft -s list ruleset",
		"packages":    "dpkg-query -W",
	} {
		words := strings.Fields(command)
		output, err := exec.Command(words[0], words[1:]...).CombinedOutput()
		if err != nil {
			output = fmt.Appendf(output, "%s: %v", command, err)
		}
		s.add(heading, string(output))
	}
	for _, file := range []string{"/etc/passwd", "/etc/group", "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"} {
		content, _ := os.ReadFile(file)
		s.add(file, string(content))
	}
	s.addMounts()
	for _, family := range []string{"tcp", "tcp6"} {
		s.add("listening sockets", listeners("/proc/self/net/"+family))
	}
	s.addSysctls()
	s.addFolders("folders", "/etc/postfix", "/etc/netns", "/var/spool/postfix", "/var/lib/postfix", "/usr/lib/postfix")
	s.addLeftovers()
	return s
}

// Diff gives what is in one of two snapshots only, a line each; nothing if the host is as it was.
func (s Snapshot) Diff(after Snapshot) []string {
	diff := only("gone", s, after)
	diff = append(diff, only("new", after, s)...)
	slices.Sort(diff)
	return diff
}

func only(word string, in, out Snapshot) (diff []string) {
	for heading, lines := range in {
		for _, line := range lines {
			if word == "gone" && heading == leftovers {
				continue
			}
			if !slices.Contains(out[heading], line) {
				diff = append(diff, heading+": "+word+": "+line)
			}
		}
	}
	return diff
}

func (s Snapshot) add(heading, text string) {
	lines := s[heading]
	for line := range strings.Lines(text) {
		lines = append(lines, strings.TrimSpace(line))
	}
	s[heading] = lines
}

// labPorts are the ports that something in a lab listens on. Other tests open and close others on the loopback addresses
// all the time.
var labPorts = []string{":0019", ":0035", ":024B", ":2729"} // 25, 53, 587, 10025

// listeners gives local address and owner of the sockets listening on the lab's ports (state 0A) in the kernel's list.
func listeners(path string) string {
	content, _ := os.ReadFile(path)
	var out strings.Builder
	for line := range strings.Lines(string(content)) {
		f := strings.Fields(line)
		if len(f) > 7 && f[3] == "0A" && slices.ContainsFunc(labPorts, func(p string) bool { return strings.HasSuffix(f[1], p) }) {
			fmt.Fprintln(&out, f[1], "uid", f[7])
		}
	}
	return out.String()
}

// addSysctls adds all parameters under net.* but those that are counters. Parameters that a kernel module brings when it
// is loaded first are not there before, so a missing one is no difference: only values are compared.
func (s Snapshot) addSysctls() {
	const root = "/proc/sys/net"
	_ = filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(path, root+"/netfilter/") {
			return nil
		}
		switch entry.Name() {
		case "flush", "nf_conntrack_count":
			return nil
		}
		value, err := os.ReadFile(path)
		if err == nil {
			s["sysctl"] = append(s["sysctl"], path+" = "+strings.Join(strings.Fields(string(value)), " "))
		}
		return nil
	})
}

func (s Snapshot) addFolders(heading string, patterns ...string) {
	for _, pattern := range patterns {
		found, _ := filepath.Glob(pattern)
		s[heading] = append(s[heading], found...)
	}
}

// addMounts adds the mounts but those that name a network namespace: other tests come and go with theirs, and a lab has
// no named one.
func (s Snapshot) addMounts() {
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if !strings.Contains(line, " - nsfs ") {
			s.add("mounts", line)
		}
	}
}

var folderPattern = regexp.MustCompile(`/\S*` + dirPrefix + `[0-9]+`)

// addLeftovers adds the folders of killed runs, and processes that outlived their run: a run's folder is among their
// mounts, and nobody has it locked.
func (s Snapshot) addLeftovers() {
	for _, path := range deadFolders() {
		s.add(leftovers, "folder "+path)
	}
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, process := range all {
		mounts, _ := os.ReadFile(process + "/mountinfo")
		for _, path := range folderPattern.FindAllString(string(mounts), -1) {
			if !alive(path) {
				command, _ := os.ReadFile(process + "/cmdline")
				s.add(leftovers, "process "+filepath.Base(process)+" "+strings.ReplaceAll(string(command), "\x00", " "))
				break
			}
		}
	}
}
