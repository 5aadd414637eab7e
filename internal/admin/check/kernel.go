package check

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"kanmon/internal/config"
	"kanmon/internal/intercept"
)

// What a session costs, and what everything else may take.
const (
	descriptorsPerSession = 2 // one for each leg
	otherDescriptors      = 1_000
	conntrackPerSession   = 2 // with redirect: the MSA's leg, and kanmon's own
	leastBacklog          = 1_024
	safeDrain             = 15 * time.Minute // 10 min for the dot's reply, 3 for a block of data, and some slack
)

// descriptors: at the limit kanmon stops accepting until sessions end. The limit is that of the service, not that of the shell.
func (c *checker) descriptors() {
	need := uint64(c.Config.Limits.Sessions)*descriptorsPerSession + otherDescriptors
	limit, err := c.Host.fileLimit()
	who := "this process"
	if c.service != nil {
		limit, err, who = c.service.FileLimit, nil, c.service.Unit
		if n, ok := c.Host.limitOf(c.service.PID); ok {
			limit, who = n, "the running "+c.service.Unit
		}
	}
	if err == nil && limit < need {
		c.find(filesFew, "limits.sessions", fmt.Sprintf("%d sessions need %d open files, %s may have %d", c.Config.Limits.Sessions, need, who, limit),
			fmt.Sprintf("systemctl edit kanmon: [Service] LimitNOFILE=%d, then systemctl restart kanmon; or want sessions = %d", need, max(1, (int(min(limit, need))-otherDescriptors)/descriptorsPerSession)))
	}
}

// limitOf returns the hard limit of open files of a process.
func (h *Host) limitOf(pid int) (uint64, bool) {
	text, err := os.ReadFile(h.proc(filepath.Join(strconv.Itoa(pid), "limits")))
	if pid == 0 || err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		// Max open files            1024                 524288               files
		if fields, found := strings.CutPrefix(line, "Max open files"); found && len(strings.Fields(fields)) > 1 {
			hard := strings.Fields(fields)[1]
			if hard == "unlimited" {
				return unlimited, true
			}
			n, err := strconv.ParseUint(hard, 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

const unlimited = 1<<64 - 1

func (c *checker) kernel() {
	sessions := uint64(c.Config.Limits.Sessions)
	if n, ok := c.Host.number("net/core/somaxconn"); ok && n < min(leastBacklog, sessions) {
		c.findAt(backlogShort, "net.core.somaxconn", fmt.Sprintf("%d: a burst of connections would be dropped", n), fmt.Sprintf("sysctl -w net.core.somaxconn=%d", min(leastBacklog, sessions)))
	}
	if n, ok := c.Host.number("net/netfilter/nf_conntrack_max"); ok && c.Config.Intercept.Mode == intercept.Redirect && n < sessions*conntrackPerSession {
		c.findAt(conntrackSmall, "net.netfilter.nf_conntrack_max", fmt.Sprintf("%d entries, but %d redirected sessions need %d", n, sessions, sessions*conntrackPerSession),
			fmt.Sprintf("sysctl -w net.netfilter.nf_conntrack_max=%d", 2*sessions*conntrackPerSession))
	}
	c.ports(sessions)
}

// ports: one sending IP has the port range once for each MX address, and serves its own family only.
func (c *checker) ports(sessions uint64) {
	low, high, ok := c.Host.portRange()
	if !ok {
		return
	}
	ports := map[string]uint64{}
	for i := range c.Config.SendingIPs {
		ip := &c.Config.SendingIPs[i]
		first, last, some := ip.PortRange()
		if !some {
			ports[config.Family(ip.Address)] += high - low + 1
			continue
		}
		ports[config.Family(ip.Address)] += uint64(last-first) + 1
		if release, known := c.Host.sysctl("kernel/osrelease"); known && !keepsToPorts(release) {
			c.find(portsOutside, fmt.Sprintf("sending_ip[%d].ports", i), "this kernel, "+strings.TrimSpace(release)+", cannot keep to them", "want Linux 6.3 or newer, or no ports")
		}
		if uint64(first) < low || uint64(last) > high {
			c.find(portsOutside, fmt.Sprintf("sending_ip[%d].ports", i), fmt.Sprintf("%s are not all within net.ipv4.ip_local_port_range, %d-%d: the kernel would use others", ip.Ports, low, high),
				fmt.Sprintf(`sysctl -w net.ipv4.ip_local_port_range="%d %d"`, min(low, uint64(first)), max(high, uint64(last))))
		}
	}
	if len(c.Config.SendingIPs) == 0 {
		ports["IPv4"] = high - low + 1 // the kernel's choice
	}
	for _, family := range []string{"IPv4", "IPv6"} { // the range is one for both
		have := ports[family]
		if have == 0 || have >= sessions {
			continue
		}
		c.findAt(portsFew, "net.ipv4.ip_local_port_range", fmt.Sprintf("%d source ports toward one %s MX, but %d sessions may all go there", have, family, sessions),
			fmt.Sprintf(`sysctl -w net.ipv4.ip_local_port_range="1024 65535", or more %s sending IPs`, family))
	}
}

// keepsToPorts reports whether a kernel knows IP_LOCAL_PORT_RANGE.
func keepsToPorts(release string) bool {
	major, minor := 0, 0
	_, _ = fmt.Sscanf(release, "%d.%d", &major, &minor)
	return major > 6 || major == 6 && minor >= 3
}

// portRange returns the source ports that the kernel chooses from.
func (h *Host) portRange() (low, high uint64, ok bool) {
	text, ok := h.sysctl("net/ipv4/ip_local_port_range")
	if !ok {
		return 0, 0, false
	}
	n, _ := fmt.Sscan(text, &low, &high)
	return low, high, n == 2 && high >= low && high < 1<<16
}

// sourcePort is one of them; 0: they are not known.
func (h *Host) sourcePort() uint16 {
	low, high, ok := h.portRange()
	if !ok {
		return 0
	}
	return uint16((low + high) / 2)
}

// tproxy: what breaks it in the kernel.
func (c *checker) tproxy() {
	in := &c.Config.Intercept
	if in.Mode != intercept.TProxy {
		return
	}
	// With src_valid_mark the kernel checks the source with the mark, finds it local and drops the packet.
	told := map[string]bool{}
	for i := range c.links {
		if n, file := c.Host.effective(c.links[i].Name, "src_valid_mark"); n != 0 && !told[file] {
			told[file] = true
			c.findAt(srcValidMark, dotted(file), "1: connections handed over by tproxy time out", "sysctl -w "+dotted(file)+"=0")
		}
	}
	if n, ok := c.Host.number("net/ipv6/conf/lo/disable_ipv6"); ok && n != 0 && in.ListensFor(false) {
		c.findAt(loWithoutIPv6, "net.ipv6.conf.lo.disable_ipv6", "1: the policy route of IPv6 cannot be made", "sysctl -w net.ipv6.conf.lo.disable_ipv6=0, or listen on IPv4 only")
	}
}

// dotted writes a setting as sysctl(8) does.
func dotted(file string) string { return strings.ReplaceAll(file, "/", ".") }

func (c *checker) journal() {
	if j := &c.Config.Journal; j.Records == "" && j.SessionLog == "" && !c.said("journal.records") && !c.said("journal.session_log") {
		c.find(notRecorded, "journal", "nothing is recorded", "")
	}
}

// memory that ends with the process: what was learnt of sending IPs and senders, and what people have decided.
func (c *checker) memory() {
	if len(c.Config.SendingIPs) > 0 && c.Config.Standing.File == "" && !c.said("standing.file") {
		c.find(notKept, "standing.file", "which sending IPs are suspended, and by whom, is forgotten at a restart", `add file = "/var/lib/kanmon/standing.db" to [standing]`)
	}
	if (len(c.Config.Tenants) > 0 || len(c.Config.SenderLimits) > 0) && c.Config.Senders.File == "" && !c.said("senders.file") {
		c.find(notKept, "senders.file", "blocks, limits by hand and what was learnt of senders are forgotten at a restart, and there is no audit", `add file = "/var/lib/kanmon/senders.db" to [senders]`)
	}
}

func (c *checker) drain() {
	timeout := c.Config.Drain.Timeout
	if least := max(safeDrain, c.Config.Timeouts.Dot); timeout < least {
		c.find(drainShort, "drain.timeout", fmt.Sprintf("%s: a stop may cut sessions whose MX has yet to answer for a message, which makes duplicates", config.Short(timeout)), fmt.Sprintf("timeout = %q", config.Short(least)))
	}
}
