package journal

import (
	"context"
	"testing"
	"time"

	"kanmon/internal/session"
)

// usualRecord is a transaction as most are: one recipient, accepted, over TLS.
func usualRecord() *session.Record {
	r := figure6()
	ms := time.Millisecond
	r.Session.MX = fullRecord().Session.MX
	for p := range session.PhaseIdle {
		r.Session.Phases[p] = time.Duration(p+1) * ms
	}
	r.Lines = r.Lines[14:]
	r.Transaction = &session.Transaction{
		Number: 1, At: 8 * ms, Sender: r.Add([]byte("root@sender")), Mail: reply(r, 250, "250 2.1.0 Ok", ms, ms),
		Recipients: []session.Recipient{{Address: r.Add([]byte("root@receiver")), Reply: reply(r, 250, "250 2.1.5 Ok", ms, ms)}},
		Data:       reply(r, 354, "354 End data with <CR><LF>.<CR><LF>", ms, ms), Body: ms, BodyBytes: 327,
		Dot: reply(r, 250, "250 2.0.0 Ok: queued as 76DAD4113D", ms, ms), Outcome: session.OutcomeDelivered,
	}
	return r
}

// BenchmarkFormat is the whole cost of a transaction's record but for the write: both sinks, 10 lines.
func BenchmarkFormat(b *testing.B) {
	for _, mode := range []AddressMode{AddressesClear, AddressesHashed, AddressesDomain} {
		b.Run(mode.String(), func(b *testing.B) {
			f, r := newFormatter(mode, testKey), usualRecord()
			b.ReportAllocs()
			for b.Loop() {
				f.begin(r)
				f.sessionLog(r)
				f.json(r)
			}
		})
	}
}

// BenchmarkRecord is what a session pays for filling a small record and handing it over.
func BenchmarkRecord(b *testing.B) {
	j, err := New(Options{Log: quiet})
	if err != nil {
		b.Fatal(err)
	}
	text := []byte("250 2.1.0 Ok")
	b.ReportAllocs()
	for b.Loop() {
		r := session.NewRecord()
		for range 10 {
			r.Lines = append(r.Lines, session.Line{Text: r.Add(text)})
		}
		j.Record(r)
	}
	if err := j.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
}
