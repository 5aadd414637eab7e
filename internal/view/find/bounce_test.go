package find

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kanmon/internal/event/journal"
)

func bounceOf(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata/bounces", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What a bounce tells is read out of it in each form that MSAs write and people paste.
func TestABounceIsReadInEachForm(t *testing.T) {
	arrived := time.Date(2026, 7, 1, 0, 30, 1, 0, time.UTC)
	for name, want := range map[string]Bounce{
		"postfix-whole.txt": {
			Recipients: []string{"alice@example.net"}, Sender: "news@acme.example", IDs: []string{"4jYHGY1Bkqz3Z", "july.1@acme.example"}, Code: 550, Status: "5.1.1",
			Action: "failed", RemoteMTA: "mx2.example.net", Arrived: arrived, Written: time.Date(2026, 7, 1, 0, 40, 2, 0, time.UTC),
		},
		"postfix-quoted.txt":       {Recipients: []string{"alice@example.net"}, Sender: "news@acme.example", IDs: []string{"4jYHGY1Bkqz3Z", "july.1@acme.example"}, Code: 550, Status: "5.1.1", Action: "failed", RemoteMTA: "mx2.example.net", Arrived: arrived},
		"exim-text.txt":            {Recipients: []string{"bob@example.org"}, Code: 550, Status: "5.7.1"},
		"quoted-printable.txt":     {Recipients: []string{"alice@example.net"}, IDs: []string{"4jYHGY1Bkqz3Z"}, Code: 550, Status: "5.1.1", Action: "failed"},
		"qmail.txt":                {Recipients: []string{"bob@example.org"}, Sender: "news@acme.example", IDs: []string{"july.2@acme.example"}, Code: 550, Status: "5.1.1"},
		"exchange.txt":             {Recipients: []string{"bob@example.org"}, IDs: []string{"july.3@acme.example"}, Code: 550, Status: "5.7.26", Written: time.Date(2026, 7, 1, 0, 40, 2, 0, time.UTC)},
		"gmail.txt":                {Recipients: []string{"bob@example.org"}, Code: 550, Status: "5.1.1"},
		"sendmail.txt":             {Recipients: []string{"bob@example.org"}, Code: 550, Status: "5.7.1"},
		"delayed.txt":              {Recipients: []string{"erin@example.com", "frank@example.com"}, Sender: "news@acme.example", IDs: []string{"4jYK4411ddz4D", "july.9@acme.example"}, Code: 451, Status: "4.7.1", Action: "delayed", Arrived: arrived},
		"forwarded.txt":            {Recipients: []string{"bob@example.org"}, Code: 552, Status: "5.2.2", Written: time.Date(2026, 7, 1, 0, 40, 2, 0, time.UTC)},
		"exchange-online.txt":      {Recipients: []string{"bob@example.org"}, IDs: []string{"july.10@acme.example"}, Code: 550, Status: "5.4.316"},
		"one-line.txt":             {Recipients: []string{"bob@example.org"}, IDs: []string{"4jYHGY2Ccrz4A"}, Code: 451, Status: "4.7.1"},
		"html-source.txt":          {Recipients: []string{"bob@example.org"}, Code: 550, Status: "5.1.1"},
		"japanese.txt":             {Recipients: []string{"bob@example.org"}, Code: 550, Status: "5.1.1"},
		"japanese-iso-2022-jp.txt": {Recipients: []string{"bob@example.org"}, Code: 550, Status: "5.1.1", Written: time.Date(2026, 7, 1, 0, 40, 2, 0, time.UTC)},
		"japanese-base64.txt":      {Recipients: []string{"bob@example.org"}, Code: 550, Status: "5.1.1", Written: time.Date(2026, 7, 1, 0, 40, 2, 0, time.UTC)},
		"japanese-shift-jis.txt":   {Recipients: []string{"bob@example.org"}, Code: 550, Status: "5.1.1"},
		"japanese-euc-jp.txt":      {Recipients: []string{"bob@example.org"}, Code: 550, Status: "5.1.1"},
		"attached.txt": {
			Recipients: []string{"alice@example.net"}, Sender: "news@acme.example", IDs: []string{"4jYHGY1Bkqz3Z", "july.1@acme.example"}, Code: 550, Status: "5.1.1",
			Action: "failed", RemoteMTA: "mx2.example.net", Arrived: arrived, Written: time.Date(2026, 7, 1, 0, 40, 2, 0, time.UTC),
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, written := range []string{bounceOf(t, name), strings.ReplaceAll(bounceOf(t, name), "\n", "\r\n"), "> " + strings.ReplaceAll(bounceOf(t, name), "\n", "\n> ")} {
				got := ParseBounce(written)
				if !slices.Equal(got.Recipients, want.Recipients) || got.Sender != want.Sender || !slices.Equal(got.IDs, want.IDs) {
					t.Errorf("recipients %q, sender %q, ids %q; want %q, %q, %q", got.Recipients, got.Sender, got.IDs, want.Recipients, want.Sender, want.IDs)
				}
				if got.Code != want.Code || got.Status != want.Status || got.Action != want.Action || got.RemoteMTA != want.RemoteMTA || len(got.Replies) == 0 {
					t.Errorf("code %d, status %q, action %q, remote %q, replies %q; want %d, %q, %q, %q", got.Code, got.Status, got.Action, got.RemoteMTA, got.Replies, want.Code, want.Status, want.Action, want.RemoteMTA)
				}
				if !got.Arrived.Equal(want.Arrived) || !got.Written.Equal(want.Written) {
					t.Errorf("arrived %s, written %s; want %s, %s", got.Arrived, got.Written, want.Arrived, want.Written)
				}
			}
		})
	}
}

// A text of which nothing can be looked for is no bounce, and says what would be one.
func TestATextThatNamesNobodyIsNoBounce(t *testing.T) {
	for _, text := range []string{"hello\nworld and others", "Subject: hello\n\nthere", strings.Repeat("x", MaxTerm+1)} {
		if _, err := Parse(text, journal.Mask{}); err == nil || !strings.Contains(err.Error(), "paste all of the bounce") {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

// Whatever somebody has made up to be read, it is read in the time of its length.
func TestNoBounceTakesLong(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begin := threadTime(t)
	for _, hostile := range []string{
		strings.Repeat("a", MaxBounce), strings.Repeat("a@b.c ", MaxBounce/6), "Subject: y\n" + strings.Repeat(" a\n", MaxBounce/3), strings.Repeat("<", MaxBounce), strings.Repeat(">", MaxBounce),
		strings.Repeat("Received: from x id abcdefgh\n", MaxBounce/29), "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n" + strings.Repeat("--x\n\n", MaxBounce/5),
	} {
		ParseBounce(hostile)
	}
	const enough = 15 * time.Second // half a second of an ordinary processor
	if took := threadTime(t) - begin; took > enough {
		t.Errorf("%s", took)
	}
}

// threadTime is the processor time that this thread has had: what else the machine does is not in it.
func threadTime(t *testing.T) time.Duration {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now); err != nil {
		t.Fatal(err)
	}
	return time.Duration(now.Nano())
}

func FuzzBounce(f *testing.F) {
	files, err := filepath.Glob("testdata/bounces/*.txt")
	if err != nil || len(files) == 0 {
		f.Fatal("no bounces", err)
	}
	for _, name := range files {
		f.Add(bounceOf(f, filepath.Base(name)))
	}
	f.Fuzz(func(t *testing.T, text string) {
		b := ParseBounce(text)
		if len(b.Recipients) > maxOfBounce || len(b.IDs) > maxOfBounce || len(b.Replies) > maxOfBounce {
			t.Errorf("more than %d: %d recipients, %d ids, %d replies", maxOfBounce, len(b.Recipients), len(b.IDs), len(b.Replies))
		}
	})
}
