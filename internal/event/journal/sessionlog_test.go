package journal

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kanmon/internal/event"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// figure6 is the dialogue of the paper's Fig. 6, but for the MSA's EHLO: it is answered from the EHLO after TLS.
func figure6() *event.Record {
	r := newRecord()
	ms := time.Millisecond
	line := func(at int, m event.Mark, text string, times ...time.Duration) {
		addLine(r, time.Duration(at)*ms, m, text, times...)
	}
	line(0, event.MarkNote, "connected from 192.168.30.40:57493")
	line(2, event.MarkNote, "connected to 192.168.30.50:25")
	line(5, event.MarkToMSA, "220 receiver ESMTP Postfix (Ubuntu)", 3104*time.Microsecond, 3104*time.Microsecond)
	line(6, event.MarkToMX, "EHLO sender")
	line(7, event.MarkFromMX, "250-receiver\n250-PIPELINING\n250-STARTTLS\n250 CHUNKING", 800*time.Microsecond, 1250*time.Microsecond)
	line(7, event.MarkMadeForMX, "STARTTLS")
	line(8, event.MarkFromMSA, "MAIL FROM:<root@sender> SIZE=327")
	line(8, event.MarkFromMSA, "RCPT TO:<root@receiver> ORCPT=rfc822;root@receiver")
	line(8, event.MarkFromMSA, "DATA")
	line(9, event.MarkFromMX, "220 2.0.0 Ready to start TLS", 900*time.Microsecond, 900*time.Microsecond)
	line(9, event.MarkNote, "pipe locked for tls connection")
	line(14, event.MarkMadeForMX, "EHLO sender")
	line(15, event.MarkFromMX, "250-receiver\n250 CHUNKING", 700*time.Microsecond, 701*time.Microsecond)
	line(15, event.MarkNote, "tls connected, to pipe unlocked")
	line(16, event.MarkToMX, "MAIL FROM:<root@sender> SIZE=327")
	line(16, event.MarkToMX, "RCPT TO:<root@receiver> ORCPT=rfc822;root@receiver")
	line(16, event.MarkToMX, "DATA")
	line(18, event.MarkToMSA, "250 2.1.0 Ok", 1500*time.Microsecond, 1500*time.Microsecond)
	line(18, event.MarkToMSA, "250 2.1.5 Ok", 1600*time.Microsecond, 1600*time.Microsecond)
	line(9019, event.MarkToMSA, "354 End data with <CR><LF>.<CR><LF>", 250118*time.Microsecond, 9000412*time.Microsecond)
	line(9020, event.MarkToMX, "(the message)")
	line(9040, event.MarkToMSA, "250 2.0.0 Ok: queued as 76DAD4113D", 20*ms, 20*ms)
	line(9041, event.MarkToMSA, "221 2.0.0 Bye", 0, 450*time.Microsecond)
	line(9042, event.MarkNote, "connections closed")
	return r
}

func TestSessionLogShowsFigure6(t *testing.T) {
	f := newFormatter(Options{Addresses: AddressesClear, HashKey: nil})
	r := figure6()
	f.begin(r)
	golden(t, "figure6.golden", string(f.sessionLog(r)))
}

func TestSessionLogHashedShowsNobody(t *testing.T) {
	f := newFormatter(Options{Addresses: AddressesHashed, HashKey: testKey})
	r := figure6()
	f.begin(r)
	got := string(f.sessionLog(r))
	if strings.Contains(got, "root") {
		t.Errorf("root is shown:\n%s", got)
	}
	golden(t, "figure6-hashed.golden", got)
}

func TestSessionLogColumns(t *testing.T) {
	r := newRecord()
	hostile := "550 5.7.1 caf\xe9 \x1b[2J \x00 \r foo\n" + time.Now().Format(timeFormat) + " forged"
	addLine(r, 999*time.Hour, event.MarkFromMX, hostile, time.Second, 20*time.Minute)
	addLine(r, -time.Second, event.MarkNote, "")
	addLine(r, 0, event.MarkFromMX, strings.Repeat("é", 1<<16))
	f := newFormatter(Options{Addresses: AddressesClear, HashKey: nil})
	f.begin(r)
	lines := strings.Split(strings.TrimSuffix(string(f.sessionLog(r)), "\n"), "\n")
	if len(lines) != 4 {
		t.Fatalf("%d lines", len(lines))
	}
	for _, l := range lines {
		fields := strings.Fields(l)
		if _, err := time.Parse(time.RFC3339, fields[0]); err != nil {
			t.Error(err)
		}
		if fields[1] != testID.String() || len(fields[3]) != 2 {
			t.Errorf("line %q", l)
		}
	}
	if want := `1000.000..1200000.000 |< 550 5.7.1 caf\xe9 \x1b[2J \x00 \x0d foo`; !strings.HasSuffix(lines[0], want) {
		t.Errorf("line %q, want …%q", lines[0], want)
	}
	if want := fmt.Sprintf(`éé\[%d octets cut]`, 2<<16-maxText); !strings.HasSuffix(lines[3], want) {
		t.Errorf("line ends %q, want %q", lines[3][len(lines[3])-40:], want)
	}
}

func TestMilliseconds(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0.000", -time.Second: "0.000", 499: "0.000", 500: "0.001", 1_234_567: "1.235",
		time.Hour: "3600000.000", 20*time.Millisecond + 7*time.Microsecond: "20.007",
	} {
		if got := string(appendMilliseconds(nil, d)); got != want {
			t.Errorf("%d ns: %s, want %s", d, got, want)
		}
	}
}

func TestClockFollowsZoneAndSecond(t *testing.T) {
	var c clock
	for _, at := range []time.Time{
		start, start.Add(time.Millisecond), start.Add(time.Second), start.UTC(), start, start.Add(-time.Hour),
		time.Unix(0, 0).UTC(),
	} {
		if got, want := string(c.append(nil, at)), at.Format(timeFormat); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
