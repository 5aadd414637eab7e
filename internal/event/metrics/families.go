package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kanmon/internal/event"
)

// families are all that is counted as it happens. The names of what stands are in state.go.
type families struct {
	sessions, connectionsRefused                    *prometheus.CounterVec
	transactions, recipients, bytes, refusals       *prometheus.CounterVec
	tenantTransactions, tenantRefusals              *prometheus.CounterVec
	drips, failures, handshakes, rescues, decisions *prometheus.CounterVec
	downgrades, tlsPolicies                         *prometheus.CounterVec
	standingChanges, reloads                        *prometheus.CounterVec
	scans, contents                                 *prometheus.CounterVec
	panics                                          prometheus.Counter

	phases, waits, delay, tlsWaits, scanTimes *prometheus.HistogramVec
}

// buckets of what an MX takes: the upper ones are the patience of MSAs and of kanmon's own phases, so that what has died at a time-out
// shows.
var (
	buckets      = []float64{0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900}
	delayBuckets = inSeconds(time.Second, 10*time.Second, time.Minute, 5*time.Minute, 15*time.Minute, time.Hour, 4*time.Hour, 12*time.Hour, 24*time.Hour, 48*time.Hour, 120*time.Hour)
)

func inSeconds(all ...time.Duration) (list []float64) {
	for _, d := range all {
		list = append(list, d.Seconds())
	}
	return list
}

func newFamilies() *families {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kanmon_" + name, Help: help}, labels)
	}
	return &families{
		sessions:           counter("sessions_total", "Sessions that have ended, by how.", "end_reason"),
		connectionsRefused: counter("connections_refused_total", "Connections that got no session, by why.", "reason"),
		transactions:       counter("transactions_total", "Attempts to send a mail (MAIL to the end of data), by what became of them, and who decided it.", "provider", "sending_ip", "outcome", "by"),
		tenantTransactions: counter("tenant_transactions_total", "Attempts to send a mail, by whose it was.", "tenant", "outcome"),
		recipients:         counter("recipients_total", "Recipients of attempts, by what became of them.", "provider", "result"),
		bytes:              counter("message_bytes_total", "Octets of messages that were delivered.", "provider"),
		refusals:           counter("refusals_total", "Replies of MXs from 400 on, by what they mean.", "provider", "sending_ip", "class", "kind"),
		tenantRefusals:     counter("tenant_refusals_total", "Replies of MXs from 400 on to the mail of a tenant, by what they mean.", "tenant", "class"),
		drips:              counter("mx_drip_total", "Replies of MXs whose octets came 100 ms or more apart.", "provider", "sending_ip"),
		failures:           counter("mx_failures_total", "Connections to MXs that failed, at their opening or later, by how.", "provider", "sending_ip", "reason"),
		handshakes:         counter("tls_handshakes_total", "Connections to MXs, by the TLS that they have.", "provider", "result"),
		downgrades:         counter("tls_downgrades_total", "Connections to MXs in plain text although TLS was offered, by why it has failed.", "provider", "cause"),
		tlsPolicies:        counter("tls_policy_recipients_total", "Recipients whose domain was asked what TLS it wants, by who asks, what came of it, and why.", "policy", "verdict", "reason"),
		rescues:            counter("rescues_total", "Refusals that kanmon did something about, or would have, by the sending IP that was refused.", "provider", "sending_ip", "action"),
		standingChanges:    counter("standing_changes_total", "Changes of what is thought of a sending IP.", "sending_ip", "provider", "to"),
		scans:              counter("scans_total", "Messages that a scanner was to be asked about, by what it has said.", "scanner", "result"),
		contents:           counter("contents_judged_total", "Messages whose content was to be judged, by how and by what was done.", "lane", "done"),
		decisions:          counter("decisions_total", "What limits, containment and rules have done about mail, or would have.", "action", "rule"),
		reloads:            counter("config_reloads_total", "Reloads of the configuration.", "result"),
		panics:             prometheus.NewCounter(prometheus.CounterOpts{Name: "kanmon_panics_total", Help: "Sessions that ended by a defect of kanmon."}),
		phases: prometheus.NewHistogramVec(native(prometheus.HistogramOpts{
			Name: "kanmon_mx_phase_seconds", Buckets: buckets,
			Help: "From a command to the last octet of the MX's reply. Of several recipients of a mail the slowest.",
		}), []string{"phase", "provider"}),
		waits: prometheus.NewHistogramVec(native(prometheus.HistogramOpts{
			Name: "kanmon_mx_wait_seconds",
			Help: "For how long a connection was opened, an envelope said, and the reply to a message waited for: native alone.",
		}), []string{"step", "provider", "sending_ip"}),
		delay: prometheus.NewHistogramVec(native(prometheus.HistogramOpts{
			Name: "kanmon_delivery_delay_seconds", Buckets: delayBuckets,
			Help: "From when its MSA took a message to its delivery; of messages that the records identify.",
		}), []string{"provider"}),
		tlsWaits: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "kanmon_tls_policy_wait_seconds", Buckets: []float64{0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60},
			Help: "For how long a recipient waited until it was known what TLS its domain wants, where it waited.",
		}, []string{"policy"}),
		scanTimes: prometheus.NewHistogramVec(native(prometheus.HistogramOpts{
			Name: "kanmon_scan_seconds", Buckets: buckets, Help: "How long a scanner took for its verdict, with the wait for a place.",
		}), []string{"scanner"}),
	}
}

// native gives a histogram exponential buckets as well: about ten in a factor of e, of which there are a hundred at most.
func native(o prometheus.HistogramOpts) prometheus.HistogramOpts {
	o.NativeHistogramBucketFactor, o.NativeHistogramMaxBucketNumber = 1.1, 100
	return o
}

// all are the collectors, those of tenants apart.
func (f *families) all() (always, ofTenants []prometheus.Collector) {
	return []prometheus.Collector{
		f.sessions, f.connectionsRefused, f.transactions, f.recipients, f.bytes, f.refusals, f.drips, f.failures, f.handshakes, f.downgrades, f.tlsPolicies, f.rescues,
		f.standingChanges, f.decisions, f.reloads, f.panics, f.phases, f.waits, f.delay, f.tlsWaits,
		f.scans, f.contents, f.scanTimes,
	}, []prometheus.Collector{f.tenantTransactions, f.tenantRefusals}
}

// kindOf says for how long a refusal is.
func kindOf(code int) int {
	if code >= 500 {
		return permanent
	}
	return temporary
}

const (
	temporary = iota
	permanent
	kindCount
)

var kinds = [kindCount]string{"temporary", "permanent"}

// What TLS a connection has.
const (
	tls13 = iota
	tls12
	tlsOlder
	tlsDowngraded
	tlsNotOffered
	tlsFailed
	tlsCount
)

var tlsResults = [tlsCount]string{"tls13", "tls12", "older", "downgraded", "not_offered", "failed"}

// The parts of a mail's time that sending IPs are compared by.
const (
	waitOpen = iota
	waitEnvelope
	waitDot
	waitCount
)

var waitSteps = [waitCount]string{"open", "envelope", "dot"}

// className names the meaning of a refusal; one that nobody has judged has a name here as well.
func className(c event.Class) string {
	if c == event.Unjudged {
		return "unjudged"
	}
	return c.String()
}
