package config

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// What a session costs, and what everything else may take.
const (
	descriptorsPerSession = 2 // one for each leg
	otherDescriptors      = 1_000
	conntrackPerSession   = 2 // with redirect: the MSA's leg, and kanmon's own
	leastBacklog          = 1_024
	minHashKey            = 16
	safeDrain             = 15 * time.Minute // 10 min for the dot's reply, 3 for a block of data, and some slack
)

// descriptors: at the limit kanmon stops accepting until sessions end.
func (c *checker) descriptors() {
	need := uint64(c.cfg.Limits.Sessions)*descriptorsPerSession + otherDescriptors
	limit, err := c.host.fileLimit()
	if err == nil && limit < need {
		c.warn("limits.sessions", fmt.Sprintf("%d sessions need %d open files, this process may have %d (RLIMIT_NOFILE)", c.cfg.Limits.Sessions, need, limit),
			fmt.Sprintf("LimitNOFILE=%d in kanmon.service, or sessions = %d", need, max(1, (int(min(limit, need))-otherDescriptors)/descriptorsPerSession)))
	}
}

func (c *checker) kernel() {
	sessions := uint64(c.cfg.Limits.Sessions)
	if n, ok := c.host.number("net/core/somaxconn"); ok && n < min(leastBacklog, sessions) {
		c.warn("net.core.somaxconn", fmt.Sprintf("%d: a burst of connections would be dropped", n), fmt.Sprintf("sysctl -w net.core.somaxconn=%d", min(leastBacklog, sessions)))
	}
	if n, ok := c.host.number("net/netfilter/nf_conntrack_max"); ok && c.cfg.Intercept.Mode == ModeRedirect && n < sessions*conntrackPerSession {
		c.warn("net.netfilter.nf_conntrack_max", fmt.Sprintf("%d entries, but %d redirected sessions need %d", n, sessions, sessions*conntrackPerSession),
			fmt.Sprintf("sysctl -w net.netfilter.nf_conntrack_max=%d", 2*sessions*conntrackPerSession))
	}
	c.ports(sessions)
}

// ports: one sending IP has the port range once for each MX address, and serves its own family only.
func (c *checker) ports(sessions uint64) {
	var low, high uint64
	text, ok := c.host.sysctl("net/ipv4/ip_local_port_range")
	if !ok {
		return
	}
	if n, _ := fmt.Sscan(text, &low, &high); n != 2 || high < low {
		return
	}
	ips := map[string]uint64{}
	for _, ip := range c.cfg.SendingIPs {
		ips[family(ip.Address)]++
	}
	if len(c.cfg.SendingIPs) == 0 {
		ips["IPv4"] = 1 // the kernel's choice
	}
	for _, family := range []string{"IPv4", "IPv6"} { // the range is one for both
		have := (high - low + 1) * ips[family]
		if have == 0 || have >= sessions {
			continue
		}
		c.warn("net.ipv4.ip_local_port_range", fmt.Sprintf("%d source ports toward one %s MX, but %d sessions may all go there", have, family, sessions),
			fmt.Sprintf(`sysctl -w net.ipv4.ip_local_port_range="1024 65535", or more %s sending IPs`, family))
	}
}

// tproxy: with src_valid_mark the kernel checks the source with the mark, finds it local and drops the packet.
func (c *checker) tproxy() {
	if c.cfg.Intercept.Mode != ModeTProxy {
		return
	}
	for _, file := range c.host.sysctls("net/ipv4/conf/*/src_valid_mark") {
		if n, ok := c.host.number(file); ok && n != 0 {
			name := strings.ReplaceAll(file, "/", ".")
			c.warn(name, "with 1, connections handed over by tproxy time out", "sysctl -w "+name+"=0")
		}
	}
}

func (c *checker) certificate() {
	t := &c.cfg.TLS
	if t.MSACertificate == "" {
		return
	}
	for _, file := range []struct{ key, path string }{{"tls.msa_certificate", t.MSACertificate}, {"tls.msa_key", t.MSAKey}} {
		if !c.readable(file.key, file.path) {
			return
		}
	}
	pair, err := tls.LoadX509KeyPair(t.MSACertificate, t.MSAKey)
	if err != nil {
		c.fail("tls.msa_certificate", fmt.Sprintf("%s and %s are no certificate with its key: %s", t.MSACertificate, t.MSAKey, strings.TrimPrefix(err.Error(), "tls: ")),
			"want PEM files: the certificate with its intermediates, and the key of the first certificate")
		return
	}
	now := c.host.now()
	switch {
	case now.After(pair.Leaf.NotAfter):
		c.warn("tls.msa_certificate", fmt.Sprintf("%s expired on %s: MSAs that verify it send no mail", t.MSACertificate, pair.Leaf.NotAfter.UTC().Format(time.DateOnly)), "renew it, then reload kanmon")
	case now.Before(pair.Leaf.NotBefore):
		c.warn("tls.msa_certificate", fmt.Sprintf("%s is not valid before %s", t.MSACertificate, pair.Leaf.NotBefore.UTC().Format(time.DateTime)), "check the clock of this host")
	}
}

// readable reports whether a file can be read, with a finding if not. Another user may have the permission that this
// one lacks.
func (c *checker) readable(key, path string) bool {
	f, err := os.Open(path)
	if err == nil {
		_ = f.Close()
		return true
	}
	if errors.Is(err, fs.ErrPermission) {
		c.warn(key, fmt.Sprintf("%s cannot be read by this user", path), "run the check as the user of the service")
	} else {
		c.fail(key, causeOf(err, path), "want a file that the service can read")
	}
	return false
}

func (c *checker) journal() {
	j := &c.cfg.Journal
	if j.Records == "" && j.SessionLog == "" && !c.said("journal.records") && !c.said("journal.session_log") {
		c.warn("journal", "nothing is recorded", `add records = "/var/log/kanmon/records.jsonl" or session_log = "/var/log/kanmon/session.log"`)
	}
	c.writable("journal.records", j.Records)
	c.writable("journal.session_log", j.SessionLog)
	if j.HashKeyFile == "" || !c.readable("journal.hash_key_file", j.HashKeyFile) {
		return
	}
	if info, err := os.Stat(j.HashKeyFile); err == nil && info.Size() < minHashKey {
		c.fail("journal.hash_key_file", fmt.Sprintf("%s has %d octets, want at least %d", j.HashKeyFile, info.Size(), minHashKey), "head -c 32 /dev/urandom > "+j.HashKeyFile)
	}
}

// writable judges a path that may not exist yet, without making it.
func (c *checker) writable(key, path string) {
	if path == "" || path == "-" || !c.said(key) { // systemd makes the directories that it gives
		return
	}
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		c.fail(key, path+" is a directory", "want the path of a file in it")
		return
	}
	target := path
	if errors.Is(err, fs.ErrNotExist) {
		target = filepath.Dir(path)
		if _, err := os.Stat(target); err != nil {
			c.fail(key, causeOf(err, target), "install -d -o kanmon -g kanmon -m 0750 "+target)
			return
		}
	}
	if err := c.host.access(target); err != nil {
		c.warn(key, fmt.Sprintf("%s cannot be written by this user", target), "run the check as the user of the service")
	}
}

func causeOf(err error, path string) string {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return path + ": " + pathErr.Err.Error()
	}
	return path + ": " + err.Error()
}

func (c *checker) drain() {
	timeout := c.cfg.Drain.Timeout
	if least := max(safeDrain, c.cfg.Timeouts.Dot); timeout < least {
		c.warn("drain.timeout", fmt.Sprintf("%s: a stop may cut sessions whose MX has yet to answer for a message, which makes duplicates", short(timeout)), fmt.Sprintf("timeout = %q", short(least)))
	}
}
