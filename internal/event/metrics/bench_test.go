package metrics

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kanmon/internal/event"
)

// opened is a connection as it is opened with TLS.
func opened() event.Leg {
	at := leg("docomo", out10)
	at.MX = event.TLS{State: event.TLSOn, Version: tls.VersionTLS13}
	for p := event.PhaseDial; p < event.PhaseIdle; p++ {
		at.Phases[p] = event.MicrosOf(10 * time.Millisecond)
	}
	return at
}

// threadTime is what this thread has taken of a processor: on a busy machine a clock tells other things.
func threadTime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
	return time.Duration(t.Nano())
}

// BenchmarkMessage is what counting takes of a processor: of a message, of a session's end with the opening of its connection, and of both
// together, which is a session of one message; and of a message whose reply has an exemplar.
func BenchmarkMessage(b *testing.B) {
	m := newMetrics(b, nil)
	sent, ended := mail(leg("docomo", out10), nil), over("quit", opened())
	slow := mail(leg("docomo", out10), func(t *event.Transaction) { t.Dot = reply(250, time.Minute) })
	for name, all := range map[string][]*event.Facts{"message": {sent}, "end": {ended}, "both": {sent, ended}, "slow": {slow}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for _, f := range all {
				m.Hear(f)
			}
			m.makeDue()
			begun := threadTime()
			for b.Loop() {
				for _, f := range all {
					m.Hear(f)
				}
			}
			b.ReportMetric(float64((threadTime()-begun).Nanoseconds())/float64(b.N), "cpu-ns/"+name)
		})
	}
}

// processTime is threadTime of all threads: families are gathered by several.
func processTime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t)
	return time.Duration(t.Nano())
}

// BenchmarkScrape is what a scrape takes at a site with 8 sending IPs, 40 providers and 200 tenants that have all had mail and refusals.
func BenchmarkScrape(b *testing.B) {
	m := newMetrics(b, func() State { return State{Sessions: map[string]int{"idle": 1}} })
	l := Labels{ByTenant: true}
	for i := range 40 {
		l.Providers = append(l.Providers, fmt.Sprintf("provider%d", i))
	}
	for i := range 200 {
		l.Tenants = append(l.Tenants, fmt.Sprintf("tenant%d", i))
	}
	for i := range 8 {
		l.SendingIPs = append(l.SendingIPs, netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}))
	}
	m.Configure(l)
	for i, provider := range l.Providers {
		for _, ip := range l.SendingIPs {
			at := opened()
			at.SendingIP, at.Way = ip, &event.Way{Provider: provider}
			for tenant := i; tenant < len(l.Tenants); tenant += len(l.Providers) {
				for class := event.IPBlocklisted; class < event.PolicyUnspecified; class += 3 {
					f := mail(at, func(t *event.Transaction) {
						t.Outcome, t.Recipients[0].Reply = event.OutcomeDeferred, reply(450, time.Millisecond)
						t.Recipients[0].Reply.Meaning = t.Means(event.Meaning{Class: class})
					})
					f.Tenant = l.Tenants[tenant]
					m.Hear(f)
				}
				m.Hear(mail(at, nil))
			}
			m.Hear(over("quit", at))
		}
	}
	series := len(gathered(b, m))
	handler := m.Handler()
	for name, accept := range map[string]string{"text": "text/plain", "protobuf": "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"} {
		b.Run(name, func(b *testing.B) {
			size := 0
			begun := processTime()
			for b.Loop() {
				w := httptest.NewRecorder()
				r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
				r.Header.Set("Accept", accept)
				handler.ServeHTTP(w, r)
				size = w.Body.Len()
			}
			b.ReportMetric(float64((processTime()-begun).Microseconds())/1000/float64(b.N), "cpu-ms/scrape")
			b.ReportMetric(float64(series), "series")
			b.ReportMetric(float64(size), "octets")
		})
	}
}
