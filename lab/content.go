package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"kanmon/internal/event"
	"kanmon/test/netlab"
)

// The compromised account once more, with scanners. All of its recipients exist, so receivers say nothing that containment could count, and all of
// its mail is spam for whoever looks into it.

// rspamdPort is where Rspamd listens on the gateway.
const rspamdPort = 11333

// startRspamd starts Debian's Rspamd on a host, with the rule for the line of GTUBE and no others, and with one worker.
func startRspamd(host *netlab.Host) error {
	image, err := host.Image("scanners")
	if err != nil {
		return err
	}
	const folder = "/etc/rspamd-lab"
	err = errors.Join(image.Write(folder+"/tld.dat", "com\nnet\norg\njp\nexample\n"), image.Write(folder+"/rspamd.conf", fmt.Sprintf(`
		options { filters = "regexp"; url_tld = "%[1]s/tld.dat"; pidfile = "%[1]s/pid"; dns { nameserver = ["127.0.0.1"]; timeout = 0.2s; retransmits = 1; } }
		logging { type = "console"; level = "notice"; }
		actions { reject = 15; add_header = 6; greylist = 4; }
		worker "normal" { bind_socket = "127.0.0.1:%[2]d"; count = 1; }
		modules { path = "/usr/share/rspamd/plugins/"; }
		`, folder, rspamdPort)))
	if err != nil {
		return err
	}
	_, err = host.Start(netlab.Command{Name: "rspamd", Args: []string{"/usr/sbin/chroot", image.Path("/"), "/usr/bin/rspamd", "-f", "-i", "-c", folder + "/rspamd.conf"}})
	if err != nil {
		return err
	}
	return host.WaitListening(rspamdPort, time.Minute)
}

// contentSetups differ in what of the mail is scanned: none, one of ten behind the MX's reply, or all. The account's mail is held once it is doubtful.
func contentSetups(r reputation) (all []setup) {
	for _, scan := range []string{"", "sample", "all"} {
		s := setup{Name: "scan-" + scan, Title: fmt.Sprintf("scan = %q", scan), Tenants: brokenInto, Reputation: &r, Contain: true, Scan: scan}
		if scan == "" {
			s.Name, s.Title = "scan-off", "no scanner"
		}
		s.Config = func(folder string) string {
			config := compromisedConfig(folder, true)
			if scan == "" {
				return config
			}
			return strings.ReplaceAll(config, "[[tenant]]\n", fmt.Sprintf("[[tenant]]\nscan    = %q\n", scan)) +
				fmt.Sprintf("\n[content]\nenforce = true\n\n[[scanner]]\nname = \"rspamd\"\ntype = \"rspamd\"\nurl  = \"http://127.0.0.1:%d\"\n", rspamdPort)
		}
		all = append(all, s)
	}
	return all
}

// A contentRun is what one set-up did with the account's spam, and to all others.
type contentRun struct {
	setup
	Spam           audit
	Injection      time.Duration // until its MSA had taken all
	Others, Honest experience
	Refused        int           // tries of the account's that were refused for their content
	Scanned        int           // of its mails
	HeldOthers     int           // mails of the other tenants that were held or streamed for a verdict
	HeldHonest     int           // likewise, of the other accounts of its tenant
	HeldFor        string        // whose the first of these was, and why
	Stopped        time.Duration // when one was refused for its content first; 0: none was
	Before         int           // spams that had arrived by then
	ScanTime       delays        // of Rspamd, in kanmon's eyes
	lasted         time.Duration
	spam, clean    []time.Duration // when mails of the account, and of the other tenants, arrived
}

// runContent runs the set-ups one after the other.
func runContent(ctx context.Context, p plan) (runs []*contentRun, err error) {
	for _, s := range contentSetups(p.compromised.reputation) {
		run, err := contentOnce(ctx, p, s)
		if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	return runs, nil
}

func contentOnce(ctx context.Context, p plan, s setup) (_ *contentRun, err error) {
	st, err := newSite(s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.lab.Close()) }()
	run := &contentRun{setup: s}
	flood := sender{tenant: brokenInto, account: compromisedName, kind: mass, spam: true, open: st.door(brokenInto)}
	flood.address = recipients(flood.account, func(int) bool { return true })
	if run.Injection, err = st.breakIn(ctx, p, flood, p.content.mails, p.content.submit); err != nil {
		return nil, st.failed(err)
	}
	run.lasted = st.ledger.now()
	found, deferred := st.queued(), st.inQueues("deferred")
	run.Spam = st.ledger.audit(ofKind(mass), found)
	run.Others = st.ledger.experienceOf(normal, found, deferred, p.compromised.breakIn)
	run.Honest = st.ledger.experienceOf(honest, found, deferred, p.compromised.breakIn)
	if err := errors.Join(st.ledger.losses(run.Spam, run.Honest.Mails), st.ledger.faults(run.Others.Mails)); err != nil {
		return nil, st.failed(err)
	}
	if err := st.kanmon.Stop(20 * time.Second); err != nil {
		return nil, st.failed(fmt.Errorf("stop kanmon: %w", err))
	}
	if err := run.measure(st.kanmon.Records(), st.ledger); err != nil {
		return nil, st.failed(err)
	}
	return run, nil
}

// measure reads when spam arrived, and what kanmon has written down of its content.
func (r *contentRun) measure(records string, l *ledger) error {
	r.spam, r.clean = receipts(l.selected(ofKind(mass)), allMails), receipts(l.selected(ofKind(normal)), allMails)
	var took []time.Duration
	for record, err := range event.NewReader(strings.NewReader(records)).All() {
		if err != nil {
			return fmt.Errorf("kanmon's records: %w", err)
		}
		c := record.Content
		if c == nil {
			continue
		}
		for _, scan := range c.Scans {
			if scan.State == event.Scanned.String() && !scan.Cached {
				took = append(took, scan.Took.Duration())
			}
		}
		r.count(record, l)
	}
	slices.Sort(took)
	if n := len(took); n > 0 {
		r.ScanTime = delays{N: n, Median: took[rank(n, 50)], P95: took[rank(n, 95)], P99: took[rank(n, 99)], Max: took[n-1]}
	}
	r.Before = len(r.spam)
	if r.Stopped > 0 {
		r.Before, _ = slices.BinarySearch(r.spam, r.Stopped)
	}
	return nil
}

// count counts one mail whose content was to be judged.
func (r *contentRun) count(record *event.Entry, l *ledger) {
	c, held := record.Content, record.Content.Lane == event.LaneHold.String() || record.Content.Lane == event.LaneTee.String()
	switch {
	case record.Account != compromisedAddress:
		if held && record.Type != judgedType {
			r.heldOther(record)
		}
		return
	case len(c.Scans) > 0 && c.Scans[0].State == event.Scanned.String():
		r.Scanned++
	}
	if record.Type != judgedType && c.Done == event.HandleRefuse.String() {
		r.Refused++
		if at := record.At.Sub(l.start); r.Stopped == 0 || at < r.Stopped {
			r.Stopped = at
		}
	}
}

// heldOther counts a mail of somebody else that waited for a verdict.
func (r *contentRun) heldOther(record *event.Entry) {
	if record.Tenant == fmt.Sprint("tenant", brokenInto) {
		r.HeldHonest++
	} else {
		r.HeldOthers++
	}
	if r.HeldFor == "" {
		r.HeldFor = fmt.Sprintf("; the first one was of %q, %s", record.Account, record.Content.Why)
	}
}

// judgedType is the type of a record of a scan that nobody has waited for.
const judgedType = "judged"
