package journal

import (
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
)

// Who records faster than can be formatted loses what does not fit, and every record is written or told.
func TestOverflowLosesOnlyWhatDoesNotFit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records.jsonl")
	j, err := New(Options{JSON: path, QueueRecords: 256, QueueBytes: 1 << 20, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var offered [4]uint64
	for i := range offered {
		all.Go(func() {
			for began := time.Now(); time.Since(began) < time.Second; offered[i]++ {
				r := transactionRecord("a@b.example", "c@d.example")
				r.Tenant = fmt.Sprintf("tenant%d", i)
				j.Record(r)
			}
		})
	}
	all.Wait()
	closeNow(t, j)
	wrote := uint64(len(linesOf(t, path, "transaction")))
	var told uint64
	for _, line := range linesOf(t, path, "dropped") {
		told += line.Records
	}
	sum := offered[0] + offered[1] + offered[2] + offered[3]
	t.Logf("%d of %d records written", wrote, sum)
	if wrote+told != sum || told != j.Dropped() {
		t.Errorf("%d written and %d told lost of %d, Dropped %d", wrote, told, sum, j.Dropped())
	}
}

// A sink goes on as soon as it has lost something, or has enough, whether the queue is empty or not.
func TestALossWakesTheSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newPipeFile()
		s := newSink(to(jsonSheet), f, 1<<20, &teller{log: quiet}, new(atomic.Uint64))
		go s.run()
		s.begin(nil)
		synctest.Wait() // it has nothing to do
		o, text := owner{tenant: "acme"}, []byte(strings.Repeat("x", 1000)+"\n")
		for s.add(&o, 1, text) { // until it has enough
			synctest.Wait()
			if len(f.String()) > 0 {
				break
			}
		}
		if n := len(f.String()); n < writeChunk {
			t.Errorf("%d octets written of a buffer that is full", n)
		}
		for _, lose := range []func(){
			func() { s.add(&o, 1, make([]byte, 1<<20+1)) },
			func() { s.skip(losses{o: 1}) },
		} {
			lose()
			synctest.Wait()
			if got := f.String(); !strings.HasSuffix(got, `,"records":1,"tenant":"acme"}`+"\n") {
				t.Errorf("behind a loss: …%q", got[max(0, len(got)-60):])
			}
			if !s.add(&o, 1, text) {
				t.Error("behind a loss nothing fits")
			}
		}
		s.finish()
		if missing, err := s.wait(t.Context(), map[uint64]owner{}); err != nil || missing != nil {
			t.Error(missing, err)
		}
	})
}

// linesOf gives the lines of a type; all must be whole.
func linesOf(t *testing.T, path, kind string) (found []*event.Entry) {
	t.Helper()
	for l, err := range event.NewReader(strings.NewReader(readFile(t, path))).All() {
		if err != nil {
			t.Fatal(err)
		}
		if l.Type == kind {
			found = append(found, l)
		}
	}
	return found
}

// hostileRecords are what a session hands over of a mail to a thousand people whose names begin with different characters, at an MX that
// answers each in 2 KB of Chinese.
func hostileRecords(id event.ID) (all []*event.Record) {
	var rcpts []string
	for i := range 1000 {
		rcpts = append(rcpts, string([]rune{rune(0x4e00 + i), rune(0x4e00 + i*7%5000)})+fmt.Sprint(i)+"@cjk.example")
	}
	end := transactionRecord("a@cjk.example", rcpts...)
	end.Session.ID = id
	var lines *event.Record
	for i := range end.Transaction.Recipients {
		said := []rune("550 5.1.1 ")
		for n := range 680 {
			said = append(said, rune(0x4e00+(i*31+n*17)%5000))
		}
		if i%30 == 0 {
			lines = newRecord()
			lines.Session.ID = id
			all = append(all, lines)
		}
		addLine(lines, 0, event.MarkToMX, "RCPT TO:<"+rcpts[i]+">")
		addLine(lines, 0, event.MarkToMSA, string(said))
		if i > 100 { // there is a bound, and a session keeps less from there on
			said = said[:50]
		}
		end.Transaction.Recipients[i].Reply = reply(end, 550, string(said), 1, 1)
	}
	return append(all, end)
}

// Two tenants that make kanmon write as much and as slowly as it can cost the others none of their records.
func TestOrdinaryMailStaysOnRecord(t *testing.T) {
	for _, mode := range []AddressMode{AddressesHashed, AddressesDomain} {
		path := filepath.Join(t.TempDir(), "records.jsonl")
		j, err := New(Options{JSON: path, SessionLog: path + ".log", Addresses: mode, HashKey: testKey, Log: quiet})
		if err != nil {
			t.Fatal(err)
		}
		over := make(chan struct{})
		var attackers sync.WaitGroup
		for i := range 2 {
			records := hostileRecords(event.ID(i))
			attackers.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-over:
						return
					case <-time.After(100 * time.Microsecond): // 600 MB a second
						r := copyOf(records[n%len(records)])
						r.Session.Source = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 1)
						r.Tenant = fmt.Sprintf("attacker%d", i)
						j.Record(r)
					}
				}
			})
		}
		const ordinary = 750
		for range ordinary {
			r := transactionRecord("news@acme.example", "alice@example.net")
			addLine(r, 0, event.MarkToMX, "RCPT TO:<alice@example.net>")
			r.Tenant = "acme"
			j.Record(r)
			time.Sleep(500 * time.Microsecond)
			for !mayWriteMore(j, owner{tenant: "acme"}) { // on a host that has no time for the journal, ordinary is less
				time.Sleep(time.Millisecond)
			}
		}
		close(over)
		attackers.Wait()
		closeNow(t, j)
		if n := strings.Count(readFile(t, path), "@acme.example"); n != ordinary {
			t.Errorf("%v: %d of %d ordinary mails on record, %d records dropped", mode, n, ordinary, j.Dropped())
		}
		var named int
		for _, l := range linesOf(t, path, "dropped") {
			if !strings.HasPrefix(l.Tenant, "attacker") {
				t.Errorf("%v: dropped: %+v", mode, l)
			}
			named++
		}
		t.Logf("%v: %d records dropped, told in %d lines", mode, j.Dropped(), named)
	}
}

// mayWriteMore says whether so little of an owner's waits to be formatted and to be written as of one who writes no more than the journal can take.
func mayWriteMore(j *Journal, o owner) bool {
	const few, little = 50, 32 << 10
	j.queue.mu.Lock()
	u := j.queue.uses[o]
	waits := u != nil && u.records > few
	j.queue.mu.Unlock()
	for _, s := range j.sinks {
		s.mu.Lock()
		waits = waits || s.has[o] > little
		s.mu.Unlock()
	}
	return !waits
}

// copyOf gives a record that can be handed over, with the texts of one that stays.
func copyOf(r *event.Record) *event.Record {
	c := *r
	return &c
}

// A sink that is not written for a while has room for whoever has written little; what is lost is told by name.
func TestFullBufferLosesWhatOneTenantWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newPipeFile()
		f.gate = make(chan struct{})
		j := mustStart(t, Options{QueueBytes: 1 << 17}, to(jsonSheet, f))
		record := func(tenant string, from string) {
			r := transactionRecord(tenant+"@b.example", "c@d.example")
			r.Session.Source = netip.MustParseAddrPort(from)
			r.Tenant = tenant
			j.Record(r)
			synctest.Wait() // the queue itself loses nothing
			time.Sleep(2 * gatherTime)
		}
		const loud, quiet = 400, 5
		for range loud {
			record("loud", "10.0.0.1:1")
			record("", "[2001:db8::1]:1")
		}
		for range quiet {
			record("quiet", "10.0.0.2:1")
		}
		close(f.gate)
		closeNow(t, j)
		stood := f.String()
		if n := strings.Count(stood, `"sender":"quiet@b.example"`); n != quiet {
			t.Errorf("%d of %d records of the quiet tenant", n, quiet)
		}
		lost := map[string]uint64{}
		for l, err := range event.NewReader(strings.NewReader(stood)).All() {
			if err != nil {
				t.Fatal(err)
			}
			if l.Type == "dropped" {
				lost[l.Tenant+l.Source] += l.Records
			}
		}
		for name, sender := range map[string]string{"loud": "loud@b.example", "2001:db8::": "@b.example"} {
			if n := uint64(strings.Count(stood, `"sender":"`+sender+`"`)); n == 0 || lost[name] == 0 || n+lost[name] != loud {
				t.Errorf("%s: %d written, %d told lost, of %d", name, n, lost[name], loud)
			}
		}
		if of := j.files.DroppedOf(); len(lost) != 2 || !maps.Equal(lost, of) {
			t.Errorf("told: %v, and when asked: %v", lost, of)
		}
	})
}

// largeRecord gives a record of a session, with about so many octets.
func largeRecord(source string, id event.ID, size int) *event.Record {
	r := newRecord()
	r.Session.ID, r.Session.Source = id, netip.MustParseAddrPort(source)
	for range size / 1024 {
		addLine(r, 0, event.MarkNote, strings.Repeat("x", 1024))
	}
	return r
}

// Whose records are many and large does not keep those of others waiting, and a session's records come in their order.
func TestOwnersTakeTurns(t *testing.T) {
	q := newQueue(1000, 32<<20, new(Files))
	for i := range 100 {
		if r := largeRecord("10.0.0.1:1", event.ID(i%7), 100<<10); !q.put(ownerOf(r), r) {
			t.Fatal("no room")
		}
	}
	for i := range 300 {
		if r := largeRecord("10.0.0.2:1", event.ID(1000+i%7), i%3<<10); !q.put(ownerOf(r), r) {
			t.Fatal("no room")
		}
	}
	var loud, quiet event.ID
	for n := range 400 {
		next, _, _ := q.get()
		if id := next.record.Session.ID; id < 1000 {
			if id != loud%7 {
				t.Fatalf("a record of session %d of the loud source in place of %d", id, loud%7)
			}
			loud++
		} else {
			if size := int(quiet) % 3 << 10; id != 1000+quiet%7 || next.record.Octets() != size {
				t.Fatalf("a record of session %d with %d octets in place of %d with %d", id-1000, next.record.Octets(), quiet%7, size)
			}
			if quiet++; quiet == 300 && n > 320 {
				t.Errorf("the last of the quiet source came behind %d of the loud one", loud)
			}
		}
	}
	if next, _, open := q.get(); next.record != nil || !open || q.n != 0 || q.bytes != 0 || q.turns.owners.len() != 0 || len(q.turns.sessions) != 0 {
		t.Errorf("left in the queue: %d records, %d octets", q.n, q.bytes)
	}
}

// However many MSAs a tenant writes from, and in however many sessions, it costs another tenant no record: neither one with an MSA of its own, nor one
// behind the same MSA. 10 MB a second are formatted; the tenants have 50 records a second of 4 KB.
func TestATenantOfManyMSAsCostsOthersNothing(t *testing.T) {
	for _, sources := range []int{1, 10, 100, 1000} {
		q := newQueue(8192, 16<<20, new(Files))
		var loud []*event.Record
		for i := range sources {
			loud = append(loud, largeRecord(fmt.Sprintf("10.0.%d.%d:1", i>>8, i&255), event.ID(i), 15<<10))
		}
		quiet := map[string]*event.Record{
			"acme": largeRecord("10.1.0.1:1", 5000, 3<<10), "neighbour": largeRecord("10.0.0.0:1", 5001, 3<<10),
		}
		offered, lost := 0, map[string]int{}
		for i, formatted := 0, 0; formatted < 1200e6; { // two minutes
			for q.put(owner{tenant: "evil"}, loud[i%sources]) {
				i++
			}
			for ; offered < formatted/200_000; offered++ {
				for name, r := range quiet {
					if !q.put(owner{tenant: name}, r) {
						lost[name]++
					}
				}
			}
			next, _, _ := q.get()
			formatted += next.size
		}
		if len(lost) > 0 {
			t.Errorf("%d MSAs: of %d records each lost %v", sources, offered, lost)
		}
	}
}

// The records of a session stay in order, whosever they are: before its sender is known nobody's, then one tenant's, then another's.
func TestASessionOfSeveralTenantsStaysInOrder(t *testing.T) {
	q := newQueue(1000, 32<<20, new(Files))
	names := []string{"", "acme", "", "beta", "beta", "acme"}
	const records = 60
	for n := range records {
		for id := range event.ID(3) {
			r := largeRecord("10.0.0.1:1", id, n<<10)
			if r.Tenant = names[n%len(names)]; !q.put(ownerOf(r), r) {
				t.Fatal("no room")
			}
		}
	}
	var seen [3]int
	for range 3 * records {
		next, _, _ := q.get()
		id := next.record.Session.ID
		if n := next.record.Octets() >> 10; n != seen[id] {
			t.Fatalf("record %d of session %d in place of %d", n, id, seen[id])
		}
		seen[id]++
	}
}

// However many lose records, so many are named; the others are counted together.
func TestLossesAreBounded(t *testing.T) {
	var l losses
	for i := range 3 * maxOwners {
		l.add(owner{tenant: fmt.Sprint("tenant", i)}, 2)
	}
	if len(l) > maxOwners+1 || l.sum() != 6*maxOwners || l[owner{}] != 4*maxOwners {
		t.Errorf("%d told apart, %d in all, %d others", len(l), l.sum(), l[owner{}])
	}
	if text := l.String(); !strings.HasPrefix(text, "others: 256, tenant0: 2, ") || !strings.HasSuffix(text, ", and 57 more") {
		t.Error(text)
	}
}

// No text is searched by looking through a thousand names one after the other.
func TestNamesAreFoundWithoutLookingThroughAll(t *testing.T) {
	var s localSet
	s.reset()
	for i := range 3000 {
		s.add([]byte(string(rune(0x4e00+i)) + "x"))
		s.add([]byte("x" + string(rune(0x4e00+i))))
	}
	for at := range s.nodes {
		chain := 0
		for c := s.nodes[at].child; c != 0; c = s.nodes[c].sibling {
			chain++
		}
		if chain > maxChain {
			t.Fatalf("a chain of %d", chain)
		}
	}
	for i := range 3000 {
		for _, name := range []string{string(rune(0x4e00+i)) + "x", "x" + string(rune(0x4e00+i))} {
			if n := s.match([]byte(name), 0); n != len(name) {
				t.Fatalf("%q: %d octets found", name, n)
			}
		}
	}
	s.reset()
	if n := s.match([]byte("x一"), 0); n != 0 || len(s.more) > 0 {
		t.Errorf("%d octets found in an empty set", n)
	}
}
