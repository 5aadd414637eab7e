package truth

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kanmon/internal/smtp/smtptest"
)

// sessions is how many a run has.
func sessions() int {
	if os.Getenv("KANMON_TRUTH") == "full" {
		return 12_000
	}
	return 1_200
}

// atOnce is how many run side by side in one engine.
const atOnce = 60

// What is on record of a session is what happened: for each reply whose it is, what it says, what it means and how long it took; for each
// recipient what became of it, what the MSA was told, and by whom; of each mail and each session the sending IP, the octets, the times and
// what they add up to. So does the session log.
func TestWhatIsOnRecordIsWhatHappened(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	if text := os.Getenv("KANMON_TRUTH_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(t, cert, []uint64{seed})
		for r, b := range w.read(t) {
			t.Log(r.tell(b))
			j := judging{run: r, book: b}
			j.all()
			for _, wrong := range j.wrong {
				t.Error(wrong)
			}
		}
		return
	}
	begun := time.Now()
	tally := tally{kinds: map[string]int{}, examples: map[string][]string{}}
	for first := 0; first < sessions(); first += atOnce {
		var seeds []uint64
		for i := range atOnce {
			seeds = append(seeds, uint64(first+i))
		}
		w := newWorld(t, cert, seeds)
		books := w.read(t)
		for _, r := range w.ordered {
			tally.add(t, r, books[r])
		}
	}
	t.Logf("%d sessions, %d transactions, %d refusals in %s; outcomes %v", tally.sessions, tally.transactions, tally.refusals,
		time.Since(begun).Round(time.Second/10), tally.outcomes)
	tally.report(t)
}

type tally struct {
	sessions, transactions, refusals int
	outcomes                         map[string]int
	kinds                            map[string]int
	examples                         map[string][]string
}

func (y *tally) add(t *testing.T, r *run, b *book) {
	if b == nil {
		t.Errorf("seed %d: nothing on record", r.seed)
		return
	}
	j := judging{run: r, book: b}
	j.all()
	y.sessions++
	y.transactions += len(b.transactions)
	y.refusals += len(b.refusals)
	for _, x := range b.transactions {
		if y.outcomes == nil {
			y.outcomes = map[string]int{}
		}
		y.outcomes[x.Outcome]++
	}
	for _, wrong := range j.wrong {
		kind, _, _ := strings.Cut(wrong, ":")
		y.kinds[kind]++
		if len(y.examples[kind]) < 4 {
			y.examples[kind] = append(y.examples[kind], fmt.Sprintf("seed %d: %s", r.seed, wrong))
		}
	}
}

func (y *tally) report(t *testing.T) {
	var kinds []string
	for kind := range y.kinds {
		kinds = append(kinds, kind)
	}
	slices.SortFunc(kinds, func(a, b string) int { return y.kinds[b] - y.kinds[a] })
	for _, kind := range kinds {
		t.Errorf("%d × %s, e.g.\n  %s", y.kinds[kind], kind, strings.Join(y.examples[kind], "\n  "))
	}
}

// tell prints what the ends logged, and what was written.
func (r *run) tell(b *book) string {
	var out strings.Builder
	since := func(at time.Time) string {
		if at.IsZero() {
			return "-"
		}
		return at.Sub(r.begun).String()
	}
	for _, s := range r.msa.talk {
		fmt.Fprintf(&out, "MSA %s %q (%d octets) -> %s %q\n", since(s.at), s.line, s.octets, since(s.heardAt), s.reply)
	}
	fmt.Fprintf(&out, "MSA left %s how %d, session over %s\n", since(r.msa.left), r.msa.how, since(r.over))
	for _, m := range r.mxs {
		fmt.Fprintf(&out, "MX %d %s dialled %s, kanmon closed %s\n", m.number, m.ip, since(m.dialled), since(m.closed))
		for _, h := range m.heard {
			fmt.Fprintf(&out, "  %s %q (%d octets, whole %t) -> %s..%s %q\n", since(h.came), h.line, h.octets, h.whole, since(h.began), since(h.ended), h.reply)
		}
	}
	for _, l := range b.log {
		fmt.Fprintf(&out, "log %s %s %s\n", since(l.at), l.mark, l.text)
	}
	for _, x := range b.transactions {
		fmt.Fprintf(&out, "%+v mail %+v data %+v dot %+v\n", x, x.Mail, x.Data, x.Dot)
		for _, p := range x.Recipients {
			fmt.Fprintf(&out, "   %+v %+v\n", p, p.Reply)
		}
	}
	for _, e := range b.ends {
		fmt.Fprintf(&out, "%+v\n", e)
	}
	for _, x := range b.refusals {
		fmt.Fprintf(&out, "%+v %+v\n", x, x.Reply)
	}
	return out.String()
}
