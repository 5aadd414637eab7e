package main

import (
	"bytes"
	_ "embed" // the configurations of HAProxy and nginx
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"kanmon/test/bench/bytecopy"
	"kanmon/test/netlab"
)

//go:embed haproxy.cfg
var haproxyConfig string

//go:embed nginx.conf
var nginxConfig string

// A contender is a way from the source to the MX.
type contender struct {
	name      string
	network   int                // of its sources
	port      int                // where it listens first
	redirects map[netip.Addr]int // port for each destination; kanmon's own rules redirect for kanmon
	ownTLS    bool               // the source does STARTTLS itself
	journal   string             // folder of its records; "" if it keeps none
	pid       int                // of the running proxy, 0 if there is none
	stop      func()

	counts  bool // the verdicts in its records are counted
	scanned int  // that there were
}

// Names that the report knows.
const (
	direct   = "direct"
	haproxy  = "haproxy"
	nginx    = "nginx"
	byteCopy = "copy"
	kanmon   = "kanmon"
	quiet    = "kanmon, no records"
	before   = "before" // another kanmon, given as a program
)

// Ports of the proxies on the gateway.
const (
	kanmonPort  = 10025
	quietPort   = 10026
	beforePort  = 10027
	haproxyPort = 11025 // the first of five
	nginxPort   = 12025 // the first of five
	copyPort    = 13025

	proxyPorts = "10025-13025" // all of them
)

// Sizes of the byte copier's buffers: what io.Copy takes by itself, where speed counts, and what a careful proxy would take
// where the memory of held sessions counts.
const (
	copyBufferSpeed = 32 << 10
	copyBufferHeld  = 4 << 10
)

var destinations = []netip.Addr{mxPlain, mxTLS, holdPlain, holdTLS, dripPlain}

func newContenders() []*contender {
	return []*contender{
		{name: direct, network: 1, ownTLS: true},
		{name: haproxy, network: 2, port: haproxyPort, redirects: portEach(haproxyPort)},
		{name: byteCopy, network: 3, port: copyPort, redirects: onePort(copyPort)},
		{name: kanmon, network: 4, port: kanmonPort},
		{name: quiet, network: 5, port: quietPort, redirects: onePort(quietPort)},
		{name: nginx, network: 6, port: nginxPort, redirects: portEach(nginxPort)},
		{name: before, network: 7, port: beforePort, redirects: onePort(beforePort)},
	}
}

func portEach(first int) map[netip.Addr]int {
	ports := make(map[netip.Addr]int)
	for i, destination := range destinations {
		ports[destination] = first + i
	}
	return ports
}

func onePort(port int) map[netip.Addr]int {
	ports := make(map[netip.Addr]int)
	for _, destination := range destinations {
		ports[destination] = port
	}
	return ports
}

// launch starts the proxy of a contender and waits until it listens. copyBuffer is for the byte copier.
func (r *rig) launch(c *contender, copyBuffer int) error {
	var err error
	switch c.name {
	case direct:
		return nil
	case haproxy:
		err = r.launchHAProxy(c)
	case nginx:
		err = r.launchNginx(c)
	case byteCopy:
		err = r.launchCopy(c, copyBuffer)
	case kanmon, quiet, before:
		err = r.launchKanmon(c)
	}
	if err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	for until := time.Now().Add(10 * time.Second); !netlab.Listening(c.pid, c.port); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			r.halt(c)
			return fmt.Errorf("%s does not listen on port %d", c.name, c.port)
		}
	}
	return nil
}

// halt ends the proxy of a contender. Sessions that it holds are cut.
func (r *rig) halt(c *contender) {
	if c.stop != nil {
		c.stop()
	}
	c.pid, c.stop = 0, nil
}

func (r *rig) launchHAProxy(c *contender) error {
	file := filepath.Join(r.world.gateway.Dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(haproxyConfig), 0o644); err != nil {
		return err
	}
	return r.launchProgram(c, "haproxy", r.tools.Env(), r.tools.Path("haproxy"), "-db", "-f", file)
}

func (r *rig) launchNginx(c *contender) error {
	file := filepath.Join(r.world.gateway.Dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(nginxConfig), 0o644); err != nil {
		return err
	}
	module := filepath.Join(filepath.Dir(r.tools.Path("")), "lib/nginx/modules/ngx_stream_module.so")
	return r.launchProgram(c, "nginx", r.tools.Env(), r.tools.Path("nginx"),
		"-c", file, "-p", r.world.gateway.Dir, "-g", "load_module "+module+";")
}

func (r *rig) launchCopy(c *contender, buffer int) error {
	spec := bytecopy.Spec{
		Listen: netip.AddrPortFrom(netip.IPv4Unspecified(), copyPort),
		Buffer: buffer,
		TLSTo:  make(map[netip.AddrPort]netip.AddrPort),
	}
	for _, a := range []netip.Addr{mxTLS, holdTLS} {
		spec.TLSTo[netip.AddrPortFrom(a, smtpPort)] = netip.AddrPortFrom(a, smtpsPort)
	}
	child, err := netlab.StartRole(r.world.gateway, bytecopy.RoleName, spec)
	if err != nil {
		return err
	}
	c.pid, c.stop = child.PID(), child.Stop
	return nil
}

const kanmonConfig = `hostname = "gateway.bench.test"

[intercept]
mode    = "redirect"
listen  = ["0.0.0.0:%[1]d"]
sources = ["%[2]v"]
user    = "root"

[limits]
sessions            = %[4]d
sessions_per_source = %[4]d

[[sending_ip]]
address = "%[3]v"
ehlo    = "gateway.bench.test"
`

const journalConfig = `
[journal]
records     = "%[1]s/records.jsonl"
session_log = "%[1]s/session.log"
`

// sendersConfig has what decides about senders and sending IPs look at every mail.
const sendersConfig = `
[[tenant]]
name    = "bench"
sources = ["%[1]v"]
%[3]s
[[sender_limit]]
name  = "account-hour"
per   = "account"
count = "messages"
limit = 1000000000
every = "1h"

[standing]
file = "%[2]s/standing.db"

[senders]
file = "%[2]s/senders.db"
`

// behindConfig has a part of all messages scanned.
const behindConfig = `
[[scanner]]
name = "bench"
type = "rspamd"
url  = "http://%s"
`

const scannerAddress = "127.0.0.1:11333"

// metricsConfig has what happens counted, for nobody who asks.
const metricsConfig = `
[metrics]
on     = true
listen = "127.0.0.1:%d"
`

// metricsPort is so far ahead of the port that the kanmon takes mail at.
const metricsPort = 1000

func (r *rig) launchKanmon(c *contender) error {
	text := fmt.Sprintf(kanmonConfig, c.port, sourceNetwork(c.network), gatewayOutside, r.conf.held+normalSessions)
	if c.name != quiet {
		c.journal = filepath.Join(r.world.gateway.Dir, fmt.Sprintf("journal-%d", c.port))
		if err := os.MkdirAll(c.journal, 0o755); err != nil {
			return err
		}
		text += fmt.Sprintf(journalConfig, c.journal)
	}
	if r.conf.senders {
		scan := "" // an older kanmon knows no such key
		if r.conf.behind && c.name != before {
			scan = "scan    = \"sample\"\n"
			text += fmt.Sprintf(behindConfig, scannerAddress)
			c.counts = true
		}
		text += fmt.Sprintf(sendersConfig, sourceNetwork(c.network), c.journal, scan)
	}
	if r.conf.metrics && c.name != before {
		text += fmt.Sprintf(metricsConfig, c.port-metricsPort)
	}
	file := filepath.Join(r.world.gateway.Dir, fmt.Sprintf("kanmon-%d.toml", c.port))
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return err
	}
	// Isolate has built it there.
	program := filepath.Join(r.lab.Dir, "../../kanmon")
	if c.name == before {
		program = r.conf.before
	}
	if c.name == kanmon {
		if _, err := r.world.gateway.Run(program, "rules", "apply", "--config", file); err != nil {
			return err
		}
	}
	return r.launchProgram(c, "kanmon", nil, program, "run", "--config", file)
}

func (r *rig) launchProgram(c *contender, name string, env []string, args ...string) error {
	process, err := r.world.gateway.Start(netlab.Command{Name: name, Args: args, Env: env})
	if err != nil {
		return err
	}
	c.pid, c.stop = process.PID(), process.Kill
	return nil
}

// emptyJournal keeps the records of a whole run from filling the memory that they are written to.
func (c *contender) emptyJournal() error {
	if c.journal == "" {
		return nil
	}
	files, err := filepath.Glob(filepath.Join(c.journal, "*"))
	if err != nil {
		return fmt.Errorf("empty journal: %w", err)
	}
	for _, file := range files {
		if c.counts && filepath.Base(file) == "records.jsonl" {
			records, err := os.ReadFile(file)
			if err != nil {
				return fmt.Errorf("read journal: %w", err)
			}
			c.scanned += bytes.Count(records, []byte(`"type":"judged"`))
		}
		if strings.Contains(filepath.Base(file), ".db") { // of the state, which the kanmon that writes it would not understand
			continue
		}
		if err := os.Truncate(file, 0); err != nil {
			return fmt.Errorf("empty journal: %w", err)
		}
	}
	return nil
}
