package metrics

import (
	"testing"
	"time"

	"kanmon/internal/event"
)

func TestWhatScannersSayIsCounted(t *testing.T) {
	m := newMetrics(t, nil)
	held := &event.Content{Lane: event.LaneHold, Done: event.HandleRefuse, Scans: []event.Scan{
		{Scanner: "rspamd", State: event.Scanned, Action: "reject", Took: event.MicrosOf(300 * time.Millisecond)},
		{Scanner: "clamd", State: event.ScanFailed, Lack: event.LackUnavailable},
	}}
	m.Hear(mail(leg("docomo", out10), func(t *event.Transaction) { t.Content = held }))
	m.Hear(mail(leg("docomo", out10), func(t *event.Transaction) { t.Content = &event.Content{Lane: event.LaneBehind} }))
	m.Hear(&event.Facts{News: event.Judged{Content: &event.Content{Lane: event.LaneBehind, Done: event.HandleAccept, Scans: []event.Scan{
		{Scanner: "rspamd", State: event.Scanned, Action: "greylist", Took: event.MicrosOf(20 * time.Millisecond)}, {Scanner: "clamd", State: event.Scanned, Virus: "x"},
	}}}})
	counted(t, m, map[string]float64{
		`kanmon_scans_total{result="reject",scanner="rspamd"}`:      1,
		`kanmon_scans_total{result="clean",scanner="rspamd"}`:       1,
		`kanmon_scans_total{result="unavailable",scanner="clamd"}`:  1,
		`kanmon_scans_total{result="virus",scanner="clamd"}`:        1,
		`kanmon_contents_judged_total{done="refuse",lane="hold"}`:   1,
		`kanmon_contents_judged_total{done="accept",lane="behind"}`: 1,
	})
}
