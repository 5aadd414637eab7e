package contain

// What scanners have said of an account's messages, before any MX has, is evidence of a kind of its own: it is counted of those messages
// alone that were scanned, and beside what MXs answer. A scanner's word is of each message by itself and always by the same rules, so that
// fewer cases say as much.

// A Scanned is what scanners have said of a message. It is told of those of which they have said something.
type Scanned struct {
	Tenant, Account string
	Refuse          bool // a scanner would refuse the message
	Virus           bool // a scanner has found one
	// Mild says that the message is of those of which others suffer where they are stopped: bounces, reports, forwarded mail. Such mail is
	// diverted at most.
	Mild  bool
	Cause Cause
}

// Thresholds of what scanners say. The shares are of messages that were scanned within an hour, by Wilson's bound.
const (
	scannedZ = 2

	virusesSlow, virusesStop = 1, 3 // within a day

	scannedDivert, scannedStop           = 3, 10
	scannedDivertShare, scannedStopShare = 0.30, 0.50
)

// scans are the scanned messages of an account, as far back as they count: at most a bucket for each minute of an hour, and for each hour of
// a day.
type scans struct {
	hour, day []scanBucket
}

type scanBucket struct {
	slot                    int32 // a minute, or an hour
	cases, refused, viruses uint32
}

func (s *scans) add(minute int32, m *Scanned) {
	s.expire(minute)
	s.hour, s.day = addTo(s.hour, minute, m), addTo(s.day, minute/60, m)
}

func addTo(list []scanBucket, slot int32, m *Scanned) []scanBucket {
	if last := len(list) - 1; last < 0 || list[last].slot != slot {
		list = append(list, scanBucket{slot: slot})
	}
	b := &list[len(list)-1]
	b.cases++
	if m.Refuse {
		b.refused++
	}
	if m.Virus {
		b.viruses++
	}
	return list
}

func (s *scans) expire(minute int32) {
	s.hour, s.day = since(s.hour, minute-hourSpan), since(s.day, minute/60-daySpan)
}

// since drops what is as old as a slot, or older.
func since(list []scanBucket, slot int32) []scanBucket {
	old := 0
	for old < len(list) && list[old].slot <= slot {
		old++
	}
	return append(list[:0], list[old:]...)
}

// Scanned counts a message that scanners have judged, and judges its account.
func (d *Detector) Scanned(m Scanned) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.time.turn()
	t := d.tenantFor(m.Tenant, false)
	if t == nil {
		d.unknown++
		return
	}
	a := d.accountFor(t, m.Account, false)
	if d.settle(&t.entry); a == nil {
		d.unknown++
		return
	}
	d.settle(a)
	if a.scans == nil {
		a.scans = &scans{}
	}
	a.scans.add(d.time.minute, &m)
	if !m.Refuse && !m.Virus {
		return
	}
	d.cause = m.Cause
	defer func() { d.cause = Cause{} }()
	most := Stop
	if m.Mild || a.Account == NullSender || a.kind == Forwarder {
		most = Divert
	}
	d.scannersSay(a, most)
}

// scannersSay takes an account to the level that what scanners have said is enough for, without the steps between.
func (d *Detector) scannersSay(a *entry, most Level) {
	worst := Reading{}
	for _, r := range a.scans.read(d.time.minute) {
		if r.Level = min(r.Level, most); r.Level > worst.Level {
			worst = r
		}
	}
	switch {
	case worst.Level > a.level:
		d.set(a, worst.Level, &worst, byEvidence)
	case worst.Level > Normal:
		a.lastBad = d.time.age
		d.mark(a)
	}
}

// read gives both signals of what scanners have said.
func (s *scans) read(minute int32) []Reading {
	s.expire(minute)
	hour, day := sumOf(s.hour), sumOf(s.day)
	refused := Reading{Signal: ScannersRefuse, Window: "hour", Bad: int(hour.refused), Cases: int(hour.cases), Threshold: scannedDivertShare}
	refused.Low = wilson(refused.Bad, refused.Cases, scannedZ)
	if refused.Cases > 0 {
		refused.Share = float64(refused.Bad) / float64(refused.Cases)
	}
	switch {
	case refused.Bad >= scannedStop && refused.Low >= scannedStopShare:
		refused.Level, refused.Threshold = Stop, scannedStopShare
	case refused.Bad >= scannedDivert && refused.Low >= scannedDivertShare:
		refused.Level = Divert
	}
	viruses := Reading{Signal: Viruses, Window: "day", Bad: int(day.viruses), Cases: int(day.cases), Threshold: virusesSlow}
	if viruses.Cases > 0 {
		viruses.Share = float64(viruses.Bad) / float64(viruses.Cases)
	}
	switch {
	case viruses.Bad >= virusesStop:
		viruses.Level, viruses.Threshold = Stop, virusesStop
	case viruses.Bad >= virusesSlow:
		viruses.Level = Slow
	}
	return []Reading{refused, viruses}
}

func sumOf(list []scanBucket) (sum scanBucket) {
	for _, b := range list {
		sum.cases += b.cases
		sum.refused += b.refused
		sum.viruses += b.viruses
	}
	return sum
}
