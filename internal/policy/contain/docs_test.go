package contain

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unsafe"
)

// What doc.go says of the defaults is what they are.
func TestDocSaysTheDefaults(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	fold := func(s string) string { return strings.Join(strings.Fields(strings.ReplaceAll(s, "\n//", " ")), " ") }
	page := fold(string(text))
	p := DefaultNumbers()
	step := func(s Step) string {
		switch {
		case s.Share == 0:
			return "-"
		case s.Accounts > 0:
			return fmt.Sprintf("%g %%, %d, %d acc.", 100*s.Share, s.Bad, s.Accounts)
		}
		return fmt.Sprintf("%g %%, %d", 100*s.Share, s.Bad)
	}
	row := func(name string, s Steps) string {
		return fmt.Sprintf("%s %s %s %s", name, step(s.Slow), step(s.Divert), step(s.Stop))
	}
	for _, want := range []string{
		row("unknown_recipients", p.Unknown), row("content", p.Content), row("sender", p.Sender), row("listing", p.Listing),
		row("backscatter", p.Backscatter), row("content, of bounces", p.BounceContent), row("spread_unknown (tenant)", p.SpreadUnknown), row("spread_content (tenant)", p.SpreadContent),
		row("unknown_recipients, held", p.HeldUnknown), row("content, held", p.HeldContent),
		"overwhelming, unknown recipients - - " + step(p.OverwhelmingUnknown) + " within an hour",
		"overwhelming, content - - " + step(p.OverwhelmingContent) + " within an hour",
		fmt.Sprintf("account %g, tenant %g,", p.AccountVolume, p.TenantVolume),
		fmt.Sprintf("(z = %g), from %d cases on", p.Z, p.Cases),
		fmt.Sprintf("no more than %d bad ones a day", p.AccountCap),
		fmt.Sprintf("%v quiet", hours(p.Quiet.Slow)), fmt.Sprintf("%v quiet", hours(p.Quiet.Divert)), fmt.Sprintf("%v quiet", hours(p.Quiet.Stop)),
		fmt.Sprintf("step down within %g days, up to %g days", p.Forget.Hours()/24, p.Longest.Hours()/24),
		fmt.Sprintf("it takes %g min, from divert to stop %g min", p.Between.Slow.Minutes(), p.Between.Divert.Minutes()),
		fmt.Sprintf("a bucket of %d octets", unsafe.Sizeof(bucket{})),
	} {
		if !strings.Contains(page, fold(want)) {
			t.Errorf("not there: %s", want)
		}
	}
	if p.ManyAccounts != 5 || p.FewProviders != 5 || p.ElsewhereShare != 3 || p.Usual != 2 || p.UsualMost != 2 || p.VolumeFactor != 3 ||
		DefaultMaxAccounts != 100_000 {
		t.Error("a number that the text says in words has changed")
	}
}

func hours(d time.Duration) string { return fmt.Sprintf("%g h", d.Hours()) }
