// Package journal is kanmon's record of sessions: it takes what sessions saw ([event.Record]) and writes it
// to a session log for humans and to JSON lines for machines. It never slows a session.
//
//  1. [New] opens the sinks. Each is a path, or "-" for standard output; an empty path leaves the sink out.
//  2. The engine calls [Journal.Record] between two replies. It puts the record into a bounded queue or drops it.
//  3. One goroutine formats; each sink has a bounded buffer and a goroutine that writes it. A sink that is slow,
//     full, failing or read by nobody costs records of that sink alone, and each lost record is counted. In queue and buffers
//     nobody takes more than eight times the room that is left for others: who writes too much loses its own records.
//  4. [Journal.Reopen] after log rotation, [Journal.Close] at the end, after the engine's last session.
//
// # The session log
//
// One line for each command, reply line and note, in five columns parted by blanks:
//
//	TIME SESSION ELAPSED MARK TEXT
//
//	2026-07-01T09:30:00.012+09:00 17f3a9c2b4d5e6f0          - -- connected to 192.168.30.50:25
//	2026-07-01T09:30:00.013+09:00 17f3a9c2b4d5e6f0      1.104 <- 220 receiver ESMTP Postfix (Ubuntu)
//	2026-07-01T09:30:09.120+09:00 17f3a9c2b4d5e6f0 250.118..9000.412 <- 250 2.1.0 Ok
//
// TIME is RFC 3339 with milliseconds. SESSION is the session's id: sessions interleave, and grep with an id gives one
// dialogue in order. ELAPSED is the time in milliseconds from a command to the last octet of its reply, "-" where
// there is none; where the octets of a reply came slowly (100 ms or more between first and last) it is FIRST..LAST.
// MARK says where the line came from and went to:
//
//	<-  sent to the MSA          |<  came from the MX and ended at kanmon     >|  came from the MSA and was held,
//	->  sent to the MX           |>  made by kanmon for the MX                    or ended, at kanmon
//	--  a note: was on no wire
//
// A reply of several lines takes as many lines, all with its mark; the first carries ELAPSED. Where records were
// lost, lines with the session id "----------------" say how many, and whose.
//
// # JSON lines
//
// docs/ref/record.md describes every field. There is one object for each transaction, one for each session, and one
// of type "dropped" where records were lost.
//
// # What is not written
//
// Bodies, headers and credentials are not in the records; of a header, with Options.Identify, what identifies its
// message. As a second line of defence the arguments of AUTH and the AUTH parameter of MAIL (RFC 4954 §5) are replaced
// by "[redacted]". Texts are attackers' octets: control and invisible characters and invalid UTF-8 are written as \xHH
// or \u{H…}, a backslash as \\, and what exceeds 2,048 octets is cut and marked \[N octets cut]. [AddressMode] hides
// the people behind mail addresses.
package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"kanmon/internal/event"
)

// Options says what a Journal writes and where. With the zero Options nothing is written.
type Options struct {
	SessionLog   string       // path of the session log; "-": standard output; "": none
	JSON         string       // path of the JSON lines; "-": standard output; "": none
	Gateway      string       // name of this gateway, in each JSON line; "": the lines have none, nor what identifies them
	Run          time.Time    // start of this process, likewise
	Behind       *Journal     // nothing is written before that one has formatted all it has; nil: there is none
	Identify     bool         // messages are identified: their Message-ID, and what the MTA before said of them
	Addresses    AddressMode  // what becomes of mail addresses; zero: written as they are
	HashKey      []byte       // key of AddressesHashed, at least 16 octets; required there
	QueueRecords int          // records that may wait for formatting; 0: 8,192
	QueueBytes   int          // octets that may wait for formatting, and as many again in each sink; 0: 16 MiB
	Files        *Files       // shared with other journals of the process; nil: nobody else writes to these paths
	Log          *slog.Logger // told of losses and failing sinks; nil: slog.Default()
}

const (
	defaultQueueRecords = 8192
	defaultQueueBytes   = 16 << 20
	minHashKey          = 16
	// logInterval keeps a dead sink from flooding the daemon's own log.
	logInterval = time.Minute
)

// Equal reports whether two journals would write the same to the same places.
func (o Options) Equal(other Options) bool {
	return o.SessionLog == other.SessionLog && o.JSON == other.JSON && o.Gateway == other.Gateway && o.Run.Equal(other.Run) && o.Identify == other.Identify && o.Addresses == other.Addresses && bytes.Equal(o.HashKey, other.HashKey) &&
		o.QueueRecords == other.QueueRecords && o.QueueBytes == other.QueueBytes && o.Files == other.Files && o.Log == other.Log
}

// ErrHashKey is returned by [New] when addresses shall be hashed and the key is shorter than 16 octets.
var ErrHashKey = errors.New("hash key shorter than 16 octets")

// A Journal writes records to its sinks. Its methods may be called by many goroutines.
type Journal struct {
	log     *slog.Logger
	teller  *teller
	queue   *queue
	format  *formatter
	files   *Files
	sinks   []*sink
	told    time.Time     // when kanmon's own log was last told of losses; only run uses it
	stamp   []byte        // of JSON lines; nil: they have none
	behind  *Journal      // nil once it has ended, or if there is none; until drained only run uses it
	closing chan struct{} // closed when Close has begun
	drained chan struct{} // closed when the formatting goroutine has ended
}

// New opens the sinks and starts the goroutines that serve them. The error names the sink that cannot be
// opened; it is [ErrHashKey] if the key is too short.
func New(o Options) (*Journal, error) {
	var all []unopened
	for _, s := range []struct {
		path string
		sheet
	}{
		{o.SessionLog, sessionLogSheet},
		{o.JSON, jsonSheet},
	} {
		if s.path != "" {
			all = append(all, unopened{sheet: s.sheet, path: s.path, open: func() (file, error) { return openFile(s.path) }})
		}
	}
	return open(o, all)
}

// An unopened is a sink that is not open yet.
type unopened struct {
	sheet
	path string
	open func() (file, error)
}

// is reports whether two all are one.
func (o unopened) is(other unopened) bool { return o.path == other.path && o.name == other.name }

func open(o Options, all []unopened) (*Journal, error) {
	if o.Addresses == AddressesHashed && len(o.HashKey) < minHashKey {
		return nil, fmt.Errorf("journal: %w", ErrHashKey)
	}
	if o.QueueRecords <= 0 {
		o.QueueRecords = defaultQueueRecords
	}
	if o.QueueBytes <= 0 {
		o.QueueBytes = defaultQueueBytes
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Files == nil {
		o.Files = new(Files)
	}
	j := &Journal{
		log:     o.Log,
		teller:  &teller{log: o.Log},
		queue:   newQueue(o.QueueRecords, o.QueueBytes, o.Files),
		format:  newFormatter(o),
		files:   o.Files,
		behind:  o.Behind,
		closing: make(chan struct{}),
		drained: make(chan struct{}),
	}
	if o.Gateway != "" {
		j.stamp = stampOf(o.Gateway, o.Run)
	}
	for _, out := range all {
		// Half for what is being written, half for what waits behind it.
		s, err := j.files.take(out, o.QueueBytes/2, &teller{log: o.Log})
		if s != nil {
			j.sinks = append(j.sinks, s)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("journal: open %s: %w", out.name, err), j.leave(context.Background()))
		}
	}
	go j.run()
	return j, nil
}

// Record implements [event.Later]. It takes a record over and releases it once it is formatted. It does not wait: a record that does not
// fit, or comes after Close, is dropped and counted for its tenant; "" stands for the source that it came from.
func (j *Journal) Record(r *event.Record) {
	if !j.queue.put(ownerOf(r), r) {
		r.Release()
	}
}

// Dialogue implements [event.Later]: it is for the session log.
func (j *Journal) Dialogue() bool {
	return slices.ContainsFunc(j.sinks, func(s *sink) bool { return s.dialogue })
}

// Identity implements [event.Later]: it is for the JSON lines.
func (j *Journal) Identity() bool {
	return j.format.identify && slices.ContainsFunc(j.sinks, func(s *sink) bool { return s.numbered })
}

// Dropped is the number of records that at least one sink has lost, since New. [Files.DroppedOf] says whose.
func (j *Journal) Dropped() uint64 { return j.queue.total() }

// Waiting is how many octets of records wait to be formatted, about.
func (j *Journal) Waiting() int {
	j.queue.mu.Lock()
	defer j.queue.mu.Unlock()
	return j.queue.bytes
}

// Reopen opens the paths of the sinks anew, for log rotation. A path that still names the open file is left as it is.
// On an error the sink concerned goes on with the file it has.
func (j *Journal) Reopen() error {
	var errs []error
	for _, s := range j.sinks {
		if err := s.reopen(); err != nil {
			errs = append(errs, fmt.Errorf("journal: reopen %s: %w", s.name, err))
		}
	}
	return errors.Join(errs...)
}

// Close formats what is queued and closes the sinks that no other journal uses. Records that come later are dropped. What cannot be
// written before ctx ends, or to a sink that fails, is dropped and counted, and the error says why. Close is called once.
func (j *Journal) Close(ctx context.Context) error {
	j.queue.close()
	close(j.closing) // whoever sees that knows all that came
	select {
	case <-j.drained:
	case <-ctx.Done(): // formatting waits for nobody but the daemon's own log
		j.queue.abandon()
	}
	err := j.leave(ctx)
	if lost, all := j.queue.toTell(); all > 0 {
		_ = within(closePatience, func() error { // not told where even that takes long
			j.log.Warn("journal closed with records dropped", "dropped", lost.sum(), "of", lost.String(), "dropped_total", all)
			return nil
		})
	}
	return err
}

// leave closes the sinks that nobody else uses, once all is in them. What is missing in one is told where its stream goes on.
func (j *Journal) leave(ctx context.Context) error {
	mine := slices.DeleteFunc(slices.Clone(j.sinks), func(s *sink) bool { return !j.files.leave(s) })
	for _, s := range mine {
		s.finish()
	}
	var errs []error
	left := make(map[uint64]owner) // a record that two sinks lose is one record
	for _, s := range mine {
		missing, err := s.wait(ctx, left)
		j.files.owes(s.name, missing)
		if err != nil {
			errs = append(errs, fmt.Errorf("journal: close %s: %w", s.name, err))
		}
	}
	j.files.tidy()
	for _, o := range left {
		j.queue.lose(o)
	}
	return errors.Join(errs...)
}

// run formats records until the queue is closed and empty.
func (j *Journal) run() {
	defer close(j.drained)
	if !j.hasTurn() {
		return
	}
	for _, s := range j.sinks {
		s.begin(j.stamp)
	}
	tick := time.NewTicker(logInterval)
	defer tick.Stop()
	for more := true; more; {
		select {
		case <-j.queue.wake:
			j.gather()
		case <-tick.C:
			j.writeRepeats(false)
		}
		more = j.drain(tick.C)
		j.tellLosses()
	}
	j.writeRepeats(true)
}

// hasTurn waits until the journals before have formatted all they have: so lines have one order, and it is known whom
// to hide in sessions that go on. It is false where this one is closed before, and nothing has come to it; whoever
// comes behind it waits for the same then.
func (j *Journal) hasTurn() bool {
	for j.behind != nil {
		select {
		case <-j.behind.drained:
		case <-j.closing:
			if j.queue.empty() {
				return false
			}
			<-j.behind.drained
		}
		j.format.guard.carried = j.behind.format.guard.carried
		j.behind = j.behind.behind // nil, unless that one had no turn
	}
	return true
}

// tellLosses tells kanmon's own log what was lost, once in a while.
func (j *Journal) tellLosses() {
	if !j.queue.unsaid.Load() || time.Since(j.told) < logInterval || j.teller.busy.Load() {
		return
	}
	lost, all := j.queue.toTell()
	j.teller.tell(func(log *slog.Logger) {
		log.Warn("journal dropped records", "dropped", lost.sum(), "of", lost.String(), "dropped_total", all)
	})
	j.told = time.Now()
}

// writeRepeats writes what has been counted for long enough; at the end all of it.
func (j *Journal) writeRepeats(all bool) {
	for _, s := range j.sinks {
		if s.rest == nil {
			continue
		}
		s.rest(j.format).due(time.Now(), all, func(tenant string, line []byte) {
			if o := (owner{tenant: tenant}); !s.add(&o, 0, line) {
				j.queue.lose(o)
			}
		})
		s.poke()
	}
}

// gatherTime is how long records may wait for others: waking goroutines and writing for each one costs a busy gateway
// more than formatting it.
const gatherTime = 50 * time.Millisecond

func (j *Journal) gather() {
	timer := time.NewTimer(gatherTime)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-j.queue.hurry:
	}
}

// drain formats what is queued. It is false once the queue is closed. Under load that goes on and on, and what is done now and then is
// done meanwhile.
func (j *Journal) drain(tick <-chan time.Time) (more bool) {
	for {
		select {
		case <-tick:
			j.writeRepeats(false)
		default:
		}
		j.tellLosses()
		next, missed, more := j.queue.get()
		if len(missed) > 0 {
			for _, s := range j.sinks {
				s.skip(missed)
			}
			j.files.traces.skip(missed)
		}
		if next.record == nil {
			for _, s := range j.sinks {
				s.poke()
			}
			return more
		}
		next.seq = j.files.records.Add(1)
		if !j.write(next) {
			j.queue.lose(next.of.owner)
			for _, s := range j.sinks {
				s.disown(next.seq)
			}
		}
	}
}

// write formats a record for every sink and releases it. It is false if a sink lost it. A record that cannot be formatted
// is lost: it must not end the program, whose work is mail.
func (j *Journal) write(next queued) (fits bool) {
	r := next.record
	defer func() {
		if p := recover(); p != nil {
			id := r.Session.ID.String()
			j.teller.tell(func(log *slog.Logger) { log.Error("record cannot be formatted", "session", id, "panic", fmt.Sprint(p)) })
			fits = false
		}
	}()
	j.format.beginOf(next.of.owner, r)
	fits = true
	for _, s := range j.sinks {
		fits = s.add(&next.of.owner, next.seq, s.append(j.format, r)) && fits
	}
	j.files.traces.tell(j.format, r)
	r.Release()
	return fits
}
