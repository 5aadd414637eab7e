package scanners

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/policy/inspect"
	"kanmon/internal/policy/inspect/clamd"
)

// attached is a message with an attachment, in base64.
func attached(content string, number int) string {
	return fmt.Sprintf("From: <account@tenant.example>\r\nSubject: %d\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n%s--b--\r\n", number, part(content))
}

// part is one attachment.
func part(content string) string {
	coded := base64.StdEncoding.EncodeToString([]byte(content))
	var lines strings.Builder
	for len(coded) > 0 {
		n := min(len(coded), 76)
		lines.WriteString(coded[:n] + "\r\n")
		coded = coded[n:]
	}
	return "--b\r\nContent-Type: application/octet-stream; name=x.bin\r\nContent-Transfer-Encoding: base64\r\n" +
		"Content-Disposition: attachment; filename=x.bin\r\n\r\n" + lines.String()
}

// clamd finds a virus in an attachment, and says which; nothing where there is none, no body, no header, no octet. (S9, S22)
func TestClamdFindsAVirusInAnAttachment(t *testing.T) {
	e := startClamd(t, "", nil).clamd(t)
	for text, want := range map[string]string{
		attached(virus(t), 1): "Test.EICAR.UNOFFICIAL", string(inspect.EICAR()): "Test.EICAR.UNOFFICIAL", message(""): "", attached("nothing", 1): "",
		"": "", "\r\n": "", "A: b\r\n\r\n": "", "no header\r\n": "", ".\r\n..\r\n": "",
	} {
		got := e.Scan(t.Context(), mail(text))
		if got.State != event.Scanned || got.Virus != want || (got.Action == "reject") != (want != "") {
			t.Errorf("%.40q: %+v", text, got)
		}
	}
	for _, p := range e.Probe(t.Context()) {
		if p.Err != nil {
			t.Errorf("%+v", p)
		}
	}
}

// The octets that clamd scans are the message's, to the last one: it knows some by their hash and length. (S15)
func TestClamdGetsTheOctets(t *testing.T) {
	texts := []string{
		message("") + ".\r\n..\r\n.x\r\n", "\x00\xff no end", strings.Repeat("0123456789abcde\n", 1<<16), strings.Repeat("y", 64<<10), strings.Repeat("z", 64<<10+1),
	}
	var known strings.Builder
	for i, text := range texts {
		sum := sha256.Sum256([]byte(text))
		fmt.Fprintf(&known, "%s:%d:Known.%d:73\n", hex.EncodeToString(sum[:]), len(text), i)
	}
	e := startClamd(t, "", map[string]string{"known.hsb": known.String()}).clamd(t)
	for i, text := range texts {
		if got := e.Scan(t.Context(), mail(text)); got.Virus != fmt.Sprintf("Known.%d.UNOFFICIAL", i) {
			t.Errorf("%d: %+v", i, got)
		}
		if got := e.Scan(t.Context(), mail(text+"x")); got.State != event.Scanned || got.Virus != "" {
			t.Errorf("%d and one more: %+v", i, got)
		}
	}
}

// A message above StreamMaxLength is too large, by one octet as by megabytes: no virus, and not clean. So is a part above MaxFileSize. (S11)
func TestAMessageIsTooLargeForClamd(t *testing.T) {
	e := startClamd(t, "StreamMaxLength 1M", nil).clamd(t)
	for _, n := range []int{1<<20 + 1, 2 << 20, 20 << 20} {
		for range 5 {
			if got := e.Scan(t.Context(), mail(strings.Repeat("x", n))); got.State != event.ScanFailed || got.Lack != event.LackTooLarge || got.Virus != "" {
				t.Fatalf("%d octets: %+v", n, got)
			}
		}
	}
	if got := e.Scan(t.Context(), mail(strings.Repeat("x", 1<<20))); got.State != event.Scanned {
		t.Errorf("exactly as large: %+v", got)
	}
	e = startClamd(t, "MaxFileSize 100K\nAlertExceedsMax yes", nil).clamd(t)
	if got := e.Scan(t.Context(), mail(attached(strings.Repeat("0123456789", 50_000), 1))); got.State != event.ScanFailed || got.Lack != event.LackTooLarge {
		t.Errorf("a large part: %+v", got)
	}
}

// While clamd reads its signatures anew, or stands still, no mail is clean that is not, none is refused for good, and each has an answer in
// time; behind it all is as before. (S10)
func TestClamdStandsStillWhileItReloads(t *testing.T) {
	p := startClamd(t, "ConcurrentDatabaseReload no\nMaxThreads 4", nil)
	const within = 3 * time.Second
	r := room(t, p.clamd(t), inspect.Scanner{AtOnce: 8, Within: within}, nil)
	var n, found, failed, skipped atomic.Int32
	scan := func() {
		began := time.Now()
		got := r.Inspect(t.Context(), *mail(attached(virus(t), int(n.Add(1)))))[0]
		if took := time.Since(began); took > within+8*time.Second {
			t.Errorf("after %v: %+v", took, got)
		}
		switch {
		case got.State == event.Scanned && got.Virus == "":
			t.Errorf("clean: %+v", got)
		case got.State == event.Scanned:
			found.Add(1)
		case got.Lack != event.LackUnavailable && got.Lack != event.LackBusy:
			t.Errorf("%+v", got)
		case got.State == event.ScanFailed:
			failed.Add(1)
		default:
			skipped.Add(1)
		}
	}
	many := func(count int) {
		var all sync.WaitGroup
		for range count {
			all.Go(scan)
		}
		all.Wait()
	}
	must(t, p.Signal(syscall.SIGUSR2))
	many(50)
	t.Logf("reload: %d found, %d failed, %d skipped", found.Load(), failed.Load(), skipped.Load())
	p.pause(t)
	before := failed.Load() + skipped.Load()
	many(20)
	if n := failed.Load() + skipped.Load() - before; n != 20 {
		t.Errorf("it stood still, and %d of 20 have no verdict", n)
	}
	p.resume(t)
	before = found.Load()
	until(t, time.Minute, "it finds again", func() bool { scan(); return found.Load() > before })
	until(t, 10*time.Second, "all places are back", func() bool { return r.State()[0].Taken == 0 })
}

// A scan that nobody waits for holds its place until clamd has ended it, and what it says then is told.
func TestClamdGoesOnWhenNobodyWaits(t *testing.T) {
	p := startClamd(t, "", nil)
	late := make(chan event.Scan, 1)
	const within = 2 * time.Second
	r := room(t, p.clamd(t), inspect.Scanner{AtOnce: 1, Within: within}, func(_ inspect.Mail, s event.Scan) { late <- s })
	p.pause(t)
	got := r.Inspect(t.Context(), *mail(attached(virus(t), 1)))[0]
	if st := r.State()[0]; got.State != event.ScanFailed || st.Abandoned != 1 || st.Taken != 1 {
		t.Errorf("%+v, %+v", got, st)
	}
	p.resume(t)
	select {
	case said := <-late:
		if said.Virus == "" {
			t.Errorf("%+v", said)
		}
	case <-time.After(within + time.Second):
		t.Error("no late verdict")
	}
	until(t, 5*time.Second, "the place is back", func() bool { return r.State()[0].Taken == 0 })
}

// clamd by its Unix socket, and one that is killed.
func TestClamdByAUnixSocketAndKilled(t *testing.T) {
	p := startClamd(t, "", nil)
	e, err := clamd.New(fmt.Sprintf("unix:/etc/clamd-%d/ctl", p.port), dial)
	must(t, err)
	if got := e.Scan(t.Context(), mail(attached(virus(t), 1))); got.Virus == "" {
		t.Errorf("%+v", got)
	}
	p.Kill()
	if got := e.Scan(t.Context(), mail(attached(virus(t), 1))); got.State != event.ScanFailed || got.Lack != event.LackUnavailable {
		t.Errorf("%+v", got)
	}
}
