package journal

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
)

// usualRecord is a transaction as most are: one recipient, accepted, over TLS.
func usualRecord() *event.Record {
	r := figure6()
	ms := time.Millisecond
	r.Session.MX = fullRecord().Session.MX
	for p := range event.PhaseIdle {
		r.Session.Phases[p] = event.MicrosOf(time.Duration(p+1) * ms)
	}
	r.Lines = r.Lines[14:]
	r.Transaction = &event.Transaction{
		Number: 1, At: 8 * ms, Sender: r.Add([]byte("root@sender")), Mail: reply(r, 250, "250 2.1.0 Ok", ms, ms),
		Recipients: []event.Recipient{{Address: r.Add([]byte("root@receiver")), Reply: reply(r, 250, "250 2.1.5 Ok", ms, ms)}},
		Data:       reply(r, 354, "354 End data with <CR><LF>.<CR><LF>", ms, ms), Body: ms, BodyBytes: 327,
		Dot: reply(r, 250, "250 2.0.0 Ok: queued as 76DAD4113D", ms, ms), Outcome: event.OutcomeDelivered,
	}
	return r
}

// BenchmarkFormat is the whole cost of a transaction's record but for the write: both sinks, 10 lines.
func BenchmarkFormat(b *testing.B) {
	for _, mode := range []AddressMode{AddressesClear, AddressesHashed, AddressesDomain} {
		b.Run(mode.String(), func(b *testing.B) {
			f, r := newFormatter(Options{Addresses: mode, HashKey: testKey}), usualRecord()
			b.ReportAllocs()
			for b.Loop() {
				f.begin(r)
				f.sessionLog(r)
				f.json(r)
			}
		})
	}
}

// BenchmarkFormatRecipients is a transaction of a thousand recipients in Chinese characters, to each of whom the MX has said 2 KB of them.
func BenchmarkFormatRecipients(b *testing.B) {
	said := []byte("550 " + strings.Repeat("用户不存在或信箱已满请稍后再试", 45))
	for _, mode := range []AddressMode{AddressesClear, AddressesHashed} {
		b.Run(mode.String(), func(b *testing.B) {
			f, r := newFormatter(Options{Addresses: mode, HashKey: testKey}), event.NewRecord()
			r.Session = usualRecord().Session
			t := &event.Transaction{Number: 1, Sender: r.Add([]byte("news@evil.example")), Outcome: event.OutcomeRefused}
			for i := range 1000 {
				address := fmt.Sprintf("%c%c用户信箱%d@evil.example", 0x4e00+i, 0x5e00+i*3, i)
				reply := event.Reply{Code: 550, Text: r.Add(said)}
				t.Recipients = append(t.Recipients, event.Recipient{Address: r.Add([]byte(address)), Reply: reply})
				r.Lines = append(r.Lines, event.Line{Mark: event.MarkToMX, Text: r.Add([]byte("RCPT TO:<" + address + ">"))},
					event.Line{Mark: event.MarkToMSA, Text: reply.Text})
			}
			r.Transaction = t
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
		r := event.NewRecord()
		for range 10 {
			r.Lines = append(r.Lines, event.Line{Text: r.Add(text)})
		}
		j.Record(r)
	}
	if err := j.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
}
