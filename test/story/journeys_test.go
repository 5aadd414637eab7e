package story

import (
	"encoding/csv"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kanmon/internal/view/history"
)

// A journey is what an operator wants to know, and the commands that it takes. Those about what a running gateway does are with it
// (cmd/kanmon's tests); here are those whose answer lies behind.
type journey struct {
	*testing.T
	*shell
	story *Story
	typed int
}

// types is shell.types, counted. Words of a whole answer may be folded at a line's end.
func (j *journey) types(stdin string, args ...string) string {
	j.Helper()
	j.typed++
	return j.shell.types(j.T, stdin, args...)
}

// shows wants texts in an answer, wherever its lines are folded.
func (j *journey) shows(answer string, texts ...string) {
	j.Helper()
	flat := strings.ToLower(strings.Join(strings.Fields(answer), " "))
	for _, text := range texts {
		if !strings.Contains(flat, strings.ToLower(strings.Join(strings.Fields(text), " "))) {
			j.Errorf("%q is not in\n%s", text, answer)
		}
	}
}

// span is a story's time, as flags.
func (j *journey) span(before, behind time.Duration) []string {
	return []string{"--from", stamp(j.story.Begin.Add(-before)), "--to", stamp(j.story.End.Add(behind))}
}

// Twelve questions of operators are answered by so many commands, and the answers are those of the ledger.
func TestJourneysInTheShell(t *testing.T) {
	x := newShell(t, Options{Seed: 11, PerDay: 300, First: Before(time.Now(), Fortnight)}, "")
	for _, is := range []struct {
		name, story string
		most        int // commands
		answers     func(*journey)
	}{
		{"1 our mail to docomo is late", "slow provider", 1, docomoIsLate},
		{"2 it bounced", "fifth try", 1, itBounced},
		{"2 it bounced, and nothing identifies it", "fifth try, unnamed", 1, itBouncedUnnamed},
		{"3 it never arrived, and no bounce", "waits", 1, itWaits},
		{"3 it never arrived, and they have it", "arrived", 1, itArrived},
		{"4 an IP is listed", "listed", 2, ipIsListed},
		{"5 an account is hacked", "hacked", 2, accountIsHacked},
		{"6 you slow our newsletter", "newsletter", 2, newsletterIsSlow},
		{"7 Gmail defers everybody", "exhausted", 2, gmailDefers},
		{"8 a new IP", "warming", 1, newIPWarms},
		{"9 a report for acme", "acme's fortnight", 5, reportIsTrue},
		{"9 a report says what is missing", "missing", 1, gapsAreStated},
		{"10 an upgrade at night", "restart", 1, upgradeAtNight},
		{"11 they got it twice", "twice", 1, gotTwice},
		{"11 they got it twice, by a hang-up", "twice, hung up", 1, gotTwiceByHangUp},
		{"hostile texts", "hostile", 6, hostileIsShown},
	} {
		t.Run(is.name, func(t *testing.T) {
			j := &journey{T: t, shell: x, story: x.Story(is.story)}
			is.answers(j)
			if j.typed > is.most {
				t.Errorf("%d commands, want %d", j.typed, is.most)
			}
		})
	}
}

func docomoIsLate(j *journey) {
	said := j.types("", "provider", "show", "docomo")
	waits := j.story.Numbers["waiting"]
	for _, m := range append(j.Waiting(j.To), j.Story("hacked").Mails...) {
		if m.Provider == "docomo" && (m.Story == "" || m.State == history.Waits) {
			waits++
		}
	}
	j.shows(said, "SLOW: rcpt", "; to 203.0.113.12, not to the other", "what was done", "half of its new sessions", fmt.Sprintf("%d mails of", waits), "acme", "borealis", "cumulus")
	for line := range strings.Lines(said) {
		if cells := strings.Fields(line); len(cells) > 3 && cells[0] == "203.0.113.10" && strings.Contains(line, " s") && !strings.Contains(line, "ms") {
			j.Errorf("an IP that is not slow is shown as slow: %s", line)
		}
	}
}

func itBounced(j *journey) {
	m := j.story.Mails[0]
	said := j.types(string(j.story.Bounce), "mail", "find", "-")
	j.shows(said, "refused for good", "attempt 5", j.story.Text, m.QueueID, m.MessageID, "the message is refused")
	if n := strings.Count(said, "\nattempt "); n != len(m.Attempts) {
		j.Errorf("%d attempts are shown, want %d:\n%s", n, len(m.Attempts), said)
	}
}

func itBouncedUnnamed(j *journey) {
	said := j.types(string(j.story.Bounce), "mail", "find", "-")
	j.shows(said, "refused for good", "attempt 5", j.story.Text, "probably", "SPF, DKIM or DMARC")
}

func itWaits(j *journey) {
	m := j.story.Mails[0]
	said := j.types("", "mail", "find", m.Recipients[0])
	j.shows(said, "waiting: 4 attempts", j.story.Text, "its MSA decides", m.Last().UTC().Format("2006-01-02 15:04"), m.First().Add(GivesUp).UTC().Format("2006-01-02"))
}

func itArrived(j *journey) {
	m := j.story.Mails[0]
	said := j.types("", "mail", "find", m.Recipients[0])
	j.shows(said, "delivered", m.Attempts[0].MXQueueID, m.Last().UTC().Format("2006-01-02 15:04:05"))
}

func ipIsListed(j *journey) {
	said := j.types("", append([]string{"refusals", "--ip", j.story.SendingIP.String()}, j.span(0, 0)...)...)
	j.shows(said, "ip_blocklisted", fmt.Sprint(j.story.Numbers["refused"]), j.story.Tenant, j.story.Text, "check.spamhaus.org")
	said = j.types("", append([]string{"timeline", "--ip", j.story.SendingIP.String()}, j.span(0, time.Hour)...)...)
	j.shows(said, "suspended", "listed at zen.spamhaus.org", "no longer listed", "is active")
}

func accountIsHacked(j *journey) {
	said := j.types("", append([]string{"mail", "find", j.story.Account, "--csv", "--most", "500"}, j.span(0, 0)...)...)
	reached := make(map[string]bool)
	for _, row := range rows(j.T, said) {
		if row["state"] == "delivered" {
			reached[row["recipient"]] = true
		}
	}
	if len(reached) != j.story.Numbers["reached"] {
		j.Errorf("%d recipients were reached, want %d", len(reached), j.story.Numbers["reached"])
	}
	said = j.types("", append([]string{"timeline", "--tenant", j.story.Tenant}, j.span(0, 30*time.Hour)...)...)
	j.shows(said, j.story.Account, "41 of 92 unknown", "mika", "password stolen, ticket 4711", "password changed")
}

func newsletterIsSlow(j *journey) {
	said := j.types("", append([]string{"mail", "find", j.story.Account, "--csv", "--most", "500"}, j.span(0, 0)...)...)
	unknown := 0
	for _, row := range rows(j.T, said) {
		if row["class"] == "recipient_invalid" {
			unknown++
		}
	}
	if unknown != j.story.Numbers["unknown"] {
		j.Errorf("%d unknown addresses, want %d", unknown, j.story.Numbers["unknown"])
	}
	said = j.types("", append([]string{"timeline", "--tenant", j.story.Tenant}, j.span(0, 0)...)...)
	j.shows(said, "38 of 210 unknown, 18 %, at least 12 %", "ken", "exempt", "they clean their list")
}

func gmailDefers(j *journey) {
	said := j.types("", append([]string{"timeline", "--provider", "google"}, j.span(5*time.Minute, 0)...)...)
	j.shows(said, "read its configuration anew", "203.0.113.10 at google is suspended", "203.0.113.11 at google is suspended", "203.0.113.12 at google is suspended", "weights of the pool put back")
	if at, first := strings.Index(said, "configuration anew"), strings.Index(said, "suspended"); at > first {
		j.Errorf("the reload does not stand before what came of it:\n%s", said)
	}
	said = j.types("", append([]string{"refusals", "--provider", "google"}, j.span(0, 0)...)...)
	j.shows(said, "throttled", fmt.Sprintf("%d tenants", len(tenants)), j.story.Text)
}

func newIPWarms(j *journey) {
	said := j.types("", "timeline", "--ip", j.story.SendingIP.String(), "--since", "14d")
	sent := 0
	for _, m := range j.story.Mails {
		sent += len(m.Attempts)
	}
	j.shows(said, "step 1 of 10 begins", "step 10 of 10 begins", fmt.Sprintf("in all: %d attempts", sent))
}

func upgradeAtNight(j *journey) {
	said := j.types("", append([]string{"timeline"}, j.span(5*time.Minute, 5*time.Minute)...)...)
	j.shows(said, "takes no new sessions", "gw1 stopped", "gw1 started", version)
}

func gotTwice(j *journey) {
	m := j.story.Mails[0]
	said := j.types("", "mail", "find", m.Recipients[0])
	j.shows(said, "Perhaps delivered twice", m.Attempts[1].MXQueueID, "the receiver did not answer", "the receiver may have taken it")
}

func gotTwiceByHangUp(j *journey) {
	m := j.story.Mails[0]
	said := j.types("", "mail", "find", m.Recipients[0])
	j.shows(said, "Delivered twice", m.Attempts[0].MXQueueID, m.Attempts[1].MXQueueID, "its MSA had gone")
}

// What strangers wrote acts on no terminal and in no table, whichever command shows it.
func hostileIsShown(j *journey) {
	in := j.span(0, time.Hour)
	for _, args := range [][]string{
		{"mail", "find", "@hostile.example", "--most", "100"},
		{"mail", "find", "@hostile.example", "--most", "100", "--lang", "ja"},
		{"refusals", "--tenant", "granite"},
		{"timeline", "--tenant", "granite"},
		{"mail", "find", "@hostile.example", "--most", "100", "--json"},
	} {
		said := j.types("", append(args, in...)...)
		if at, is := acts([]byte(said)); is {
			j.Errorf("%q acts at %q", args, said[at:min(len(said), at+60)])
		}
	}
	table := rows(j.T, j.types("", append([]string{"mail", "find", "@hostile.example", "--most", "500", "--csv"}, in...)...))
	if want := len(HostileTexts) + len(HostileAddresses); len(table) != want {
		j.Errorf("%d rows, want %d", len(table), want)
	}
	for _, row := range table {
		for name, cell := range row {
			if formula(cell) {
				j.Errorf("%s is a formula: %q", name, cell)
			}
		}
	}
}

// A tenant's report has its days as the ledger has them, and nothing of anybody else, nor of what is the operator's.
func reportIsTrue(j *journey) {
	const aDay = 24 * time.Hour
	from, to := j.From.Truncate(aDay).Add(aDay), j.To.Truncate(aDay)
	of := []string{"report", "--tenant", j.story.Tenant, "--from", from.Format(time.DateOnly), "--to", to.Format(time.DateOnly)}
	want := j.CountsBy(func(k CountKey) (CountKey, bool) {
		return CountKey{Day: k.Day, Outcome: k.Outcome}, k.Tenant == j.story.Tenant && !k.Day.Before(from) && k.Day.Before(to)
	})
	table := sections(j.T, j.types("", append(of, "--as", "csv")...))["days"]
	if len(table) != int(to.Sub(from)/aDay) {
		j.Errorf("%d days, want %d", len(table), to.Sub(from)/aDay)
	}
	for _, row := range table {
		day, err := time.Parse(time.DateOnly, row["Day"])
		if err != nil {
			j.Fatal(err)
		}
		var all Count
		for k, n := range want {
			if k.Day.Equal(day) {
				all.Attempts, all.Recipients, all.First = all.Attempts+n.Attempts, all.Recipients+n.Recipients, all.First+n.First
			}
		}
		for name, n := range map[string]int64{
			"Attempts to deliver": all.Attempts, "Recipients": all.Recipients, "Mails": all.First, "Refused for good": want[CountKey{Day: day, Outcome: "refused"}].Attempts,
			"Put off for now": want[CountKey{Day: day, Outcome: "deferred"}].Attempts,
			"Delivered":       want[CountKey{Day: day, Outcome: "delivered"}].Attempts + want[CountKey{Day: day, Outcome: "orphan_ack"}].Attempts,
		} {
			if row[name] != fmt.Sprint(n) {
				j.Errorf("%s, %s: %s, want %d", row["Day"], name, row[name], n)
			}
		}
	}
	for _, form := range []string{"html", "text", "csv", "json"} {
		said := j.types("", append(of, "--as", form)...)
		for _, other := range tenants {
			if other.name != j.story.Tenant && strings.Contains(strings.ToLower(said), other.name) {
				j.Errorf("as %s: %s is in the report of %s", form, other.name, j.story.Tenant)
			}
		}
		for _, ip := range append(append(append([]netip.Addr{newIP}, tokyoIPs...), osakaIPs...), tenantOf("borealis").source) {
			if strings.Contains(said, ip.String()) {
				j.Errorf("as %s: %s is in the report", form, ip)
			}
		}
		for _, who := range []string{"mika", "uid 100"} {
			if strings.Contains(said, who) {
				j.Errorf("as %s: %s is in the report", form, who)
			}
		}
	}
}

// gapsAreStated: whose records are missing is told so.
func gapsAreStated(j *journey) {
	said := j.types("", "report", "--tenant", j.story.Tenant, "--from", j.From.Truncate(24*time.Hour).AddDate(0, 0, 1).Format(time.DateOnly), "--to", j.To.Format(time.DateOnly))
	j.shows(said, "37 records of your mail were lost", "5 records were lost of which nobody knows")
}

// sections are the tables of a report's CSV, each line of which begins with the name of its table.
func sections(t *testing.T, text string) map[string][]map[string]string {
	t.Helper()
	in := csv.NewReader(strings.NewReader(text))
	in.FieldsPerRecord = -1
	lines, err := in.ReadAll()
	if err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	heads, all := make(map[string][]string), make(map[string][]map[string]string)
	for _, line := range lines {
		name := line[0]
		head, begun := heads[name]
		if !begun {
			heads[name] = line
			continue
		}
		row := make(map[string]string)
		for i := 1; i < min(len(line), len(head)); i++ {
			row[head[i]] = line[i]
		}
		all[name] = append(all[name], row)
	}
	return all
}
