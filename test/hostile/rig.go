package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"kanmon/internal/admin"
	"kanmon/test/bench/bytecopy"
	"kanmon/test/netlab"
	"kanmon/test/traffic"
)

// A rig is everything that a run needs, and what it has found out.
type rig struct {
	conf   config
	lab    *netlab.Lab
	street *netlab.Street
	kanmon *netlab.Kanmon
	admin  *admin.Client
	share  string // how much of the machine the attackers have

	copier, attackers, evil *netlab.Child
	scanner                 *netlab.Child // nil: no message is scanned

	honest  *honest
	ledger  *traffic.Ledger
	records traffic.Records
	moved   []movedRecords
	watch   *watch
	results []*result
	serving sync.WaitGroup
}

// copyPort is where the byte copier listens on the gateway.
const copyPort = 13025

// attackerCPUs is the attackers' share of the machine.
const attackerCPUs = 0.5

func newRig(conf config) (_ *rig, err error) {
	if _, err := netlab.RaiseDescriptors(); err != nil {
		return nil, err
	}
	lab, err := netlab.New("hostile")
	if err != nil {
		return nil, err
	}
	r := &rig{conf: conf, lab: lab, ledger: traffic.NewLedger(), watch: new(watch)}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if r.street, err = netlab.NewStreet(lab); err != nil {
		return nil, err
	}
	steps := []func() error{r.serveNames, r.serveSites, r.startScanner, r.startKanmon, r.startCopier, r.startAttackers}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	r.honest = newHonest(r)
	return r, nil
}

func (r *rig) close() error {
	if r.honest != nil {
		r.honest.stop()
	}
	r.watch.stop()
	for _, c := range []*netlab.Child{r.attackers, r.evil, r.copier, r.scanner} {
		if c != nil {
			c.Stop()
		}
	}
	return r.lab.Close()
}

func (r *rig) serveSites() error {
	for _, s := range sites {
		if err := s.serve(r); err != nil {
			return err
		}
	}
	return nil
}

// operatorConfig is what an operator has written, but for what belongs to the street and the tenants. The machine's descriptors allow no
// more sessions.
const operatorConfig = `
[limits]
sessions = 9500

[[sender_limit]]
name  = "account-hour"
per   = "account"
count = "recipients"
limit = 1000000
every = "1h"

[standing]
file = "%[1]s/standing.db"

[senders]
file = "%[1]s/senders.db"

[containment]
enforce        = true
account_volume = 1000000
tenant_volume  = 1000000

[admin]
socket = "%[1]s/admin.sock"
`

// contentConfig has messages of any size held. Nobody is old enough here to be ordinary.
const contentConfig = `
[content]
enforce      = true
hold_memory  = "256MiB"
hold_message = "32MiB"

[[scanner]]
name    = "scripted"
type    = "rspamd"
url     = "http://%s"
largest = "32MiB"
`

func (r *rig) config() string {
	var config strings.Builder
	config.WriteString(netlab.StreetConfig())
	tenant := func(name string, v4, v6 int) {
		fmt.Fprintf(&config, "\n[[tenant]]\nname = %q\nsources = [\"10.77.%d.0/24\", \"fd77:0:%x::/48\"]\n", name, v4, v6)
		if r.conf.content {
			config.WriteString("scan = \"all\"\n")
		}
	}
	for i, name := range honestTenants {
		tenant(name, 1+i, 1+i)
	}
	for i, k := range kinds {
		tenant(k.tenant(), 100+i, 100+i)
	}
	fmt.Fprintf(&config, operatorConfig, r.kanmon.Folder())
	if r.conf.content {
		fmt.Fprintf(&config, contentConfig, scannerAddress)
	}
	return config.String()
}

func (k kind) tenant() string { return "evil-" + k.name }

func (r *rig) startKanmon() error {
	kanmon, err := netlab.NewKanmon(r.street.Gateway, "")
	if err != nil {
		return err
	}
	r.kanmon, r.admin = kanmon, admin.NewClient(kanmon.Socket())
	key := filepath.Join(kanmon.Folder(), "hash.key")
	if err := os.WriteFile(key, []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
		return err
	}
	kanmon.Journal = fmt.Sprintf("addresses = \"hashed\"\nhash_key_file = %q", key)
	if err := kanmon.Configure(r.config()); err != nil {
		return err
	}
	if _, err := kanmon.Rules("apply"); err != nil {
		return err
	}
	return kanmon.Start()
}

// copierRules send the mail of the byte copier's MSAs to it.
const copierRules = `table inet hostile {
 chain pre {
  type nat hook prerouting priority dstnat; policy accept;
  ip saddr 10.78.0.0/16 tcp dport 25 redirect to :%[1]d
  ip6 saddr fd78::/32 tcp dport 25 redirect to :%[1]d
 }
}
`

func (r *rig) startCopier() (err error) {
	file := filepath.Join(r.street.Gateway.Dir, "copier.nft")
	if err := os.WriteFile(file, fmt.Appendf(nil, copierRules, copyPort), 0o644); err != nil {
		return err
	}
	if _, err := r.street.Gateway.Run("nft", "-f", file); err != nil {
		return err
	}
	// The kernel offers these only once something tracks connections. A run makes more of them than the machine's table holds at once.
	for state, seconds := range map[string]string{"time_wait": "2", "close": "2", "last_ack": "5", "close_wait": "30", "syn_sent": "35"} {
		if err := r.street.Gateway.Sysctl("net.netfilter.nf_conntrack_tcp_timeout_"+state, seconds); err != nil {
			return err
		}
	}
	spec := bytecopy.Spec{Listen: netip.AddrPortFrom(netip.IPv6Unspecified(), copyPort), Buffer: 4 << 10}
	if r.copier, err = netlab.StartRole(r.street.Gateway, bytecopy.RoleName, spec); err != nil {
		return err
	}
	return r.street.Gateway.WaitListening(copyPort, 10*time.Second)
}

// startAttackers starts their MSAs and MXs, in a share of the CPUs of their own.
func (r *rig) startAttackers() (err error) {
	if r.evil, err = netlab.StartRole(r.street.Outside, evilRole, struct{}{}); err != nil {
		return err
	}
	if r.attackers, err = netlab.StartRole(r.street.Inside, attackRole, order{Kind: -1}); err != nil {
		return err
	}
	share, err := r.lab.NewShare(attackerCPUs)
	if errors.Is(err, netlab.ErrNoShares) {
		r.share = "all that is left (this machine has no control groups for CPUs)"
	} else if err != nil {
		return err
	} else {
		r.share = fmt.Sprintf("%.1f CPUs", attackerCPUs)
		if err := errors.Join(share.Take(r.evil.PID()), share.Take(r.attackers.PID())); err != nil {
			return err
		}
	}
	var listening struct{}
	var first toll
	if err := errors.Join(r.evil.Answers.Decode(&listening), r.attackers.Answers.Decode(&first)); err != nil {
		return fmt.Errorf("start the attackers: %w", err)
	}
	return nil
}
