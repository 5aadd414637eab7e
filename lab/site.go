package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"kanmon/test/netlab"
)

// A setup is a way to send: what is compared.
type setup struct {
	Name          string            // in files
	Title         string            // in figures
	Shared        bool              // Postfixes shared by tenants, not one for each tenant behind kanmon
	MSAs          int               // Postfixes; 0: one if they are shared, else one for each tenant
	Tenants       int               // with a Postfix, or a share of one; 0: tenants
	Settings      map[string]string // of Postfix, beside labSettings
	TarpitDomains int
	Light         int           // tenants beside those with a Postfix; then no tarpit is served
	MXDelay       time.Duration // of the normal MX; 0: farMX
	Rules         string        // of nft where Postfixes are shared; "": sharedRules
	Refusal       *refusal      // what the normal MX does to the listed IP; then no tarpit is served, but the tenants' mailboxes
	Reputation    *reputation   // of providers, which are there instead of the normal MX and the tarpit, with the tenants' mailboxes
	Contain       bool          // kanmon enforces containment
	Scan          string        // of all tenants' mail, by Rspamd on the gateway; "": none of it
	Restrict      bool          // the MX of the tarpit domains is a normal one until it restricts the culprit's sending IP, of three; kanmon knows what mail usually takes

	Config func(folder string) string // of kanmon, which may keep files in the folder; nil: kanmonConfig
}

// A site is a world with a set-up in it.
type site struct {
	setup  setup
	lab    *netlab.Lab
	world  *netlab.Outbound
	msas   []*netlab.Postfix // one, or one for each tenant
	kanmon *netlab.Kanmon    // nil if shared
	light  []netip.Addr      // addresses of the light submitters
	ledger *ledger
	list   *list // of the normal MX; nil if it lists nobody

	providers []*provider // where there are some

	restricted atomic.Pointer[netip.Addr] // by the MX of the tarpit domains; nil: none
}

const kanmonConfig = `
[intercept]
sources = ["10.20.0.0/16"]
mark    = 0x2525

[[sending_ip]]
address = "203.0.113.10"
ehlo    = "out10.example"

[[sending_ip]]
address = "203.0.113.11"
ehlo    = "out11.example"
`

// sharedRules let mail of the shared Postfix leave from both sending IPs in turn, as it does through kanmon.
const sharedRules = `table ip lab {
	chain leave {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr 10.20.0.0/16 tcp dport 25 snat to numgen inc mod 2 map { 0 : 203.0.113.10, 1 : 203.0.113.11 }
	}
}
`

// thirdIP is a sending IP beside those of all worlds.
var thirdIP = netip.MustParseAddr("203.0.113.12")

const (
	tarpitMX = 1 // MXs of the world
	normalMX = 2

	mailboxMX = tarpitMX // the tenants' mailboxes, where no tarpit is served
)

// normalMXs is how many MXs the normal domains have, one provider each.
func (s setup) normalMXs() int {
	if s.Restrict {
		return otherProviders
	}
	return 1
}

// newSite builds a world and starts everything. Close it.
func newSite(s setup) (_ *site, err error) {
	lab, err := netlab.New(s.Name)
	if err != nil {
		return nil, err
	}
	s.Tenants = cmp.Or(s.Tenants, tenants)
	if s.MSAs == 0 {
		s.MSAs = s.Tenants
		if s.Shared {
			s.MSAs = 1
		}
	}
	st := &site{setup: s, lab: lab, ledger: newLedger()}
	defer func() {
		if err != nil {
			err = errors.Join(err, lab.Close())
		}
	}()
	options := netlab.OutboundOptions{Tenants: s.MSAs, MXs: normalMX, Zone: zone(s)}
	if s.Reputation != nil {
		options.MXs = mailboxMX + len(providerNames)
	}
	if s.Restrict {
		options.MXs = tarpitMX + s.normalMXs()
	}
	if s.Light > 0 {
		options.Tenants++
	}
	if st.world, err = netlab.NewOutbound(lab, options); err != nil {
		return nil, err
	}
	for _, step := range []func() error{st.serveMXs, st.startMSAs, st.addLight, st.addThirdIP, st.openGate} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return st, nil
}

func zone(s setup) (z netlab.Zone) {
	for n := range normalDomains {
		z.MX(fmt.Sprintf("d%d.normal.example", n), fmt.Sprintf("a.mx%d.example", normalMX+n%s.normalMXs()), 10)
	}
	for n := range tarpitMails {
		z.MX(fmt.Sprintf("t%d.tarpit.example", n), fmt.Sprintf("a.mx%d.example", tarpitMX), 10)
	}
	if s.Reputation != nil {
		addProviders(&z)
	}
	for n := 0; (s.Refusal != nil || s.Reputation != nil) && n < s.Tenants; n++ {
		z.MX(fmt.Sprintf("msa%d.example", n+1), fmt.Sprintf("a.mx%d.example", mailboxMX), 10)
	}
	return z
}

func (s *site) serveMXs() error {
	if s.setup.Reputation != nil {
		return s.serveProviders()
	}
	far := &netlab.SlowMX{Name: netlab.MXName(normalMX), PerReply: cmp.Or(s.setup.MXDelay, farMX), Received: s.ledger.receive}
	if s.setup.Refusal != nil {
		s.list = &list{refusal: *s.setup.Refusal, now: s.ledger.now}
		far.Refuse = s.list.refuse
	}
	for n := range s.setup.normalMXs() {
		if err := far.Serve(s.world.MXs[normalMX-1+n]); err != nil {
			return err
		}
	}
	if s.setup.Light > 0 {
		return nil
	}
	if s.setup.Refusal != nil {
		return s.serveMailboxes()
	}
	slow := &netlab.SlowMX{Name: netlab.MXName(tarpitMX), PerByte: tarpitPace, Received: s.ledger.receive}
	if s.setup.Restrict {
		slow.PerReply, slow.Tarpit = farMX, s.pace
	}
	return slow.Serve(s.world.MXs[tarpitMX-1])
}

// serveMailboxes serves the tenants' own, to which notices of non-delivery go.
func (s *site) serveMailboxes() error {
	mailboxes := &netlab.SlowMX{Name: netlab.MXName(mailboxMX), Received: s.ledger.takeBack}
	return mailboxes.Serve(s.world.MXs[mailboxMX-1])
}

func (s *site) startMSAs() error {
	settings := maps.Clone(labSettings)
	maps.Copy(settings, s.setup.Settings)
	for _, host := range s.world.MSAs[:s.setup.MSAs] {
		msa, err := netlab.NewPostfix(host, netlab.PostfixOptions{Role: netlab.MSA, Hostname: host.Name + ".example", Settings: settings})
		if err != nil {
			return err
		}
		s.msas = append(s.msas, msa)
	}
	return nil
}

// addLight gives the last tenant's host an address for each light submitter.
func (s *site) addLight() error {
	for n := range s.setup.Light {
		address := netip.AddrFrom4([4]byte{10, 20, lightTenant, byte(n + 20)})
		if err := s.world.MSAs[lightTenant-1].Address("eth0", netip.PrefixFrom(address, 24)); err != nil {
			return err
		}
		s.light = append(s.light, address)
	}
	return nil
}

// addThirdIP gives the gateway another sending IP, where there is use for one.
func (s *site) addThirdIP() error {
	if s.setup.Reputation == nil && !s.setup.Restrict {
		return nil
	}
	return s.world.Gateway.Address("out0", netip.PrefixFrom(thirdIP, thirdIP.BitLen()))
}

// openGate has mail leave from the two sending IPs: through kanmon, or as the shared Postfixes send it.
func (s *site) openGate() (err error) {
	if s.setup.Shared {
		file := filepath.Join(s.world.Gateway.Dir, "lab.nft")
		if err := os.WriteFile(file, []byte(cmp.Or(s.setup.Rules, sharedRules)), 0o644); err != nil {
			return err
		}
		_, err := s.world.Gateway.Run("nft", "-f", file)
		return err
	}
	if s.kanmon, err = netlab.NewKanmon(s.world.Gateway, kanmonConfig); err != nil {
		return err
	}
	if s.setup.Config != nil {
		if err := s.kanmon.Configure(s.setup.Config(s.kanmon.Folder())); err != nil {
			return err
		}
	}
	if s.setup.Reputation != nil {
		path, content := providersFile(s.kanmon.Folder())
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	if s.setup.Restrict {
		if err := writeUsual(s.kanmon.Folder()); err != nil {
			return err
		}
	}
	if s.setup.Scan != "" {
		if err := startRspamd(s.world.Gateway); err != nil {
			return err
		}
	}
	if _, err := s.kanmon.Rules("apply"); err != nil {
		return err
	}
	return s.kanmon.Start()
}

// door gives the way to a tenant's MSA, or the light submitter's own way.
func (s *site) door(tenant int) door {
	if s.setup.Light > 0 && tenant >= lightTenant {
		return lightDoor(s.world.MSAs[lightTenant-1], s.light[tenant-lightTenant])
	}
	host := s.msas[(tenant-1)*len(s.msas)/s.setup.Tenants].Host
	return func() (net.Conn, error) { return host.Dial("127.0.0.1:587", 5*time.Second) }
}

// failed shows the last lines of all logs and gives the error with the set-up's name.
func (s *site) failed(err error) error {
	fmt.Fprintln(os.Stderr, s.lab.Logs(15))
	return fmt.Errorf("%s: %w", s.setup.Name, err)
}
