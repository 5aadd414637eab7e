package metrics

import (
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A State is what stands at one moment, and is not counted as it happens.
type State struct {
	Sessions     map[string]int // by what they are doing
	SessionsMost int
	Held         []Held // sessions that wait for an MX for long
	KeptBytes    int64  // of messages, for a rescue

	Standings []Standing // what is not as it should be
	Listed    []Listed
	Scanners  []Scanner
	ScanBytes int64 // of messages that are kept to be scanned
	Lists     []List
	Named     []Named
	Pools     []Pool

	Senders      []Senders
	TenantLevels map[string]int // those that are above the lowest
	TenantLimits []Limit
	IPLimits     []Limit

	Records     Records
	StoreErrors map[string]uint64
	ListQueries map[[2]string]uint64 // by list and result
	Probes      map[[2]string]uint64 // by provider and result

	RulesApplied *bool // nil: this kanmon has put none in force
	Certificate  time.Time
	ListenersOff uint64

	TLSPolicies *TLSPolicies // nil: nothing is asked of MXs
}

// Held is a session that waits for one reply of an MX.
type Held struct {
	Provider string
	Waited   time.Duration
}

// Standing is how a sending IP stands at a provider.
type Standing struct {
	IP       netip.Addr
	Provider string // "": all
	State    string
	Share    float64 // of the traffic that it may take
}

// Scanner is how a scanner of content is.
type Scanner struct {
	Name           string
	Taken, Waiting int // scans under way, messages that wait for a place
	Away           bool
}

// Listed is what a public list has said of a sending IP.
type Listed struct {
	IP   netip.Addr
	List string
	Is   bool
}

// List is whether a public list is believed.
type List struct {
	Name     string
	Believed bool
}

// Named is whether the names of a sending IP agree.
type Named struct {
	IP    netip.Addr
	Right bool
}

// Pool is how many sending IPs of one can be used for a provider.
type Pool struct {
	Name     string
	Provider string // "": for all of which nothing else is said
	Family   string
	Usable   int
}

// Senders are how many are contained alike.
type Senders struct {
	Scope, Level string
	Enforced     bool
	Count        int
}

// Limit is how much of a limit is used.
type Limit struct {
	Name     string
	Tenant   string     // of a tenant's
	IP       netip.Addr // of a sending IP's, at a provider
	Provider string
	Used     float64 // part of the amount
}

// Records are how many were taken to be written, how many of them were lost, and the octets that wait.
type Records struct {
	Taken, Dropped uint64
	Waiting        int
}

// Nearly is from which part on it is shown how much of a limit is used.
const Nearly = 0.5

// heldFor are the waits that sessions are counted by, each with those that have waited for longer.
var heldFor = []struct {
	text  string
	least time.Duration
}{{"10s", 10 * time.Second}, {"1m", time.Minute}, {"5m", 5 * time.Minute}}

// stands are the metrics of what stands. Their values are asked for by a scrape.
type stands struct {
	ask func() State
	m   *Metrics

	reloaded atomic.Int64 // when the configuration was last read as it holds, Unix seconds
	draining atomic.Bool
}

// A figure is a metric of what stands.
type figure struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	labels int
}

func gauge(name, help string, labels ...string) *figure {
	return &figure{prometheus.NewDesc("kanmon_"+name, help, labels, nil), prometheus.GaugeValue, len(labels)}
}

// count is a figure that only rises.
func count(name, help string, labels ...string) *figure {
	f := gauge(name, help, labels...)
	f.kind = prometheus.CounterValue
	return f
}

var (
	sessionsNow    = gauge("sessions", "Sessions, by what they are doing, or wait for.", "state")
	sessionsLimit  = gauge("sessions_limit", "How many sessions there may be.")
	sessionsHeld   = gauge("sessions_held", "Sessions that have waited for one reply of an MX for at least so long.", "provider", "least")
	keptBytes      = gauge("rescue_kept_bytes", "Memory of messages that are kept in case they have to be sent again.")
	standingNow    = gauge("standing", "Where a sending IP is not active: 1; of providers without a name of their own how many.", "sending_ip", "provider", "state")
	standingShare  = gauge("standing_share_ratio", "Part of the traffic that a sending IP may take, where it is not all.", "sending_ip", "provider")
	listedNow      = gauge("listed", "Whether a public list that kanmon has asked has a sending IP.", "sending_ip", "list")
	listQueries    = count("list_queries_total", "Questions to public lists.", "list", "result")
	listBelieved   = gauge("list_believed", "Whether the answers of a public list are believed, of those that are asked on a schedule.", "list")
	namesRight     = gauge("sending_ip_names_right", "Whether the PTR of a sending IP, the way back from it and the name in EHLO agree.", "sending_ip")
	probes         = count("probes_total", "Sessions that were let try a suspended sending IP, by what came of it.", "provider", "result")
	poolUsable     = gauge("pool_usable_ips", "Sending IPs of a pool that mail can leave from: for all providers, and for each where one cannot be used.", "pool", "provider", "family")
	contained      = gauge("senders_contained", "Tenants and accounts that are contained or blocked.", "scope", "level", "enforced")
	tenantLevel    = gauge("tenant_level", "How far a tenant is contained, where it is: 1 to 4.", "tenant")
	tenantLimit    = gauge("tenant_limit_used_ratio", "Part of a tenant's limit that is used, from a half on.", "limit", "tenant")
	ipLimit        = gauge("sending_ip_limit_used_ratio", "Part that is used of what a provider takes from a sending IP, from a half on.", "limit", "sending_ip", "provider")
	journalRecords = count("journal_records_total", "Records that were taken to be written.")
	journalDropped = count("journal_dropped_records_total", "Records that at least one of the files has lost.")
	journalQueue   = gauge("journal_queue_bytes", "Records that wait to be written.")
	storeErrors    = count("store_errors_total", "Times that what is to outlive the process could not be written.", "store")
	lastReload     = gauge("config_last_reload_success_timestamp_seconds", "When the configuration that holds was read.")
	rulesApplied   = gauge("rules_applied", "Whether the firewall rules are in force, as far as kanmon has put them there.")
	drainingNow    = gauge("draining", "Whether kanmon is stopping.")
	certificate    = gauge("certificate_expiry_timestamp_seconds", "When the certificate for MSAs ends.", "leg")
	scannerTaken   = gauge("scanner_scans", "Messages that a scanner is asked about now.", "scanner")
	scannerWaiting = gauge("scanner_waiting", "Messages that wait for a place at a scanner.", "scanner")
	scannerAway    = gauge("scanner_away", "Whether a scanner is taken for away: 1.", "scanner")
	scanBytes      = gauge("scan_kept_bytes", "Memory of messages that are kept to have them scanned.")
	listenersOff   = gauge("listeners_off", "What has heard of what happens, and was switched off by a defect.")
)

var figures = []*figure{
	sessionsNow, sessionsLimit, sessionsHeld, keptBytes, standingNow, standingShare, listedNow, listBelieved, namesRight, listQueries, probes, poolUsable, contained, tenantLevel, tenantLimit,
	ipLimit, journalRecords, journalDropped, journalQueue, storeErrors, lastReload, rulesApplied, drainingNow, certificate, listenersOff,
	policyDomains, policyFetches, policyRedials, dnsAnswers, resolverState, tlsReports,
	scannerTaken, scannerWaiting, scannerAway, scanBytes,
}

// Describe implements [prometheus.Collector].
func (s *stands) Describe(to chan<- *prometheus.Desc) {
	for _, f := range figures {
		to <- f.desc
	}
}

// A tally adds up what has the same labels: beyond a bound, several things have.
type tally map[series]float64

type series struct {
	of     *figure
	labels [3]string
}

func (t tally) at(of *figure, labels ...string) series {
	s := series{of: of}
	copy(s.labels[:], labels)
	return s
}

func (t tally) add(n float64, of *figure, labels ...string) { t[t.at(of, labels...)] += n }

// least keeps the smallest of several.
func (t tally) least(n float64, of *figure, labels ...string) {
	at := t.at(of, labels...)
	if was, found := t[at]; !found || n < was {
		t[at] = n
	}
}

// most keeps the largest.
func (t tally) most(n float64, of *figure, labels ...string) {
	at := t.at(of, labels...)
	t[at] = max(t[at], n)
}

// Collect implements [prometheus.Collector].
func (s *stands) Collect(to chan<- prometheus.Metric) {
	now := State{}
	if s.ask != nil {
		now = s.ask()
	}
	t := tally{}
	s.sessions(t, &now)
	s.scanners(t, &now)
	s.standings(t, &now)
	s.senders(t, &now)
	s.itself(t, &now)
	s.policies(t, &now)
	for at, n := range t {
		to <- prometheus.MustNewConstMetric(at.of.desc, at.of.kind, n, at.labels[:at.of.labels]...)
	}
}

// scanners adds how they are. Where nothing is scanned there is none of it.
func (s *stands) scanners(t tally, now *State) {
	if len(now.Scanners) == 0 {
		return
	}
	for i := range now.Scanners {
		one := &now.Scanners[i]
		name := s.m.scanners.learn(one.Name, one.Name)
		text := s.m.scanners.text(name)
		t.add(float64(one.Taken), scannerTaken, text)
		t.add(float64(one.Waiting), scannerWaiting, text)
		t.most(truth(one.Away), scannerAway, text)
	}
	t.add(float64(now.ScanBytes), scanBytes)
}

func (s *stands) sessions(t tally, now *State) {
	for state, n := range now.Sessions {
		t.add(float64(n), sessionsNow, state)
	}
	t.add(float64(now.SessionsMost), sessionsLimit)
	t.add(float64(now.KeptBytes), keptBytes)
	for i := range s.m.providers.count() {
		if i != providerAll {
			for _, h := range heldFor {
				t.add(0, sessionsHeld, s.m.providers.text(i), h.text)
			}
		}
	}
	for _, one := range now.Held {
		for _, h := range heldFor {
			if one.Waited >= h.least {
				t.add(1, sessionsHeld, s.m.providers.of(one.Provider), h.text)
			}
		}
	}
}

func (s *stands) standings(t tally, now *State) {
	for _, one := range now.Standings {
		ip, provider := s.m.ips.of(one.IP), s.m.providerName(one.Provider)
		t.add(1, standingNow, ip, provider, one.State)
		if one.Share < 1 {
			t.least(one.Share, standingShare, ip, provider)
		}
	}
	for _, one := range now.Listed {
		t.most(truth(one.Is), listedNow, s.m.ips.of(one.IP), one.List)
	}
	for _, one := range now.Lists {
		t.least(truth(one.Believed), listBelieved, one.Name)
	}
	for _, one := range now.Named {
		t.least(truth(one.Right), namesRight, s.m.ips.of(one.IP))
	}
	for of, n := range now.ListQueries {
		t.add(float64(n), listQueries, of[0], of[1])
	}
	for of, n := range now.Probes {
		t.add(float64(n), probes, s.m.providers.of(of[0]), of[1])
	}
	for _, p := range now.Pools {
		t.least(float64(p.Usable), poolUsable, p.Name, s.m.providerName(p.Provider), p.Family)
	}
	for _, l := range now.IPLimits {
		if l.Used >= Nearly {
			t.most(l.Used, ipLimit, l.Name, s.m.ips.of(l.IP), s.m.providers.of(l.Provider))
		}
	}
}

func (s *stands) senders(t tally, now *State) {
	for _, one := range now.Senders {
		t.add(float64(one.Count), contained, one.Scope, one.Level, strconv.FormatBool(one.Enforced))
	}
	if !s.m.countsTenants.Load() {
		return
	}
	for tenant, level := range now.TenantLevels {
		t.most(float64(level), tenantLevel, s.m.tenantName(tenant))
	}
	for _, l := range now.TenantLimits {
		if l.Used >= Nearly {
			t.most(l.Used, tenantLimit, l.Name, s.m.tenantName(l.Tenant))
		}
	}
}

func (s *stands) itself(t tally, now *State) {
	t.add(float64(now.Records.Taken), journalRecords)
	t.add(float64(now.Records.Dropped), journalDropped)
	t.add(float64(now.Records.Waiting), journalQueue)
	for store, n := range now.StoreErrors {
		t.add(float64(n), storeErrors, store)
	}
	if at := s.reloaded.Load(); at != 0 {
		t.add(float64(at), lastReload)
	}
	if now.RulesApplied != nil {
		t.add(truth(*now.RulesApplied), rulesApplied)
	}
	t.add(truth(s.draining.Load()), drainingNow)
	if !now.Certificate.IsZero() {
		t.add(float64(now.Certificate.Unix()), certificate, "msa")
	}
	t.add(float64(now.ListenersOff), listenersOff)
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
