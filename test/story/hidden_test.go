package story

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event/journal"
)

// With names hidden no command shows a canary, but where it is typed; who types an address finds its mail where names are hashed, and where they are not
// there is told that nobody can.
func TestNoCommandShowsACanary(t *testing.T) {
	keyFile := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(keyFile, canaryKey, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, mode := range hiding {
		t.Run(mode.String(), func(t *testing.T) {
			lines := fmt.Sprintf("addresses = %q\n", mode)
			if mode == journal.AddressesHashed {
				lines += fmt.Sprintf("hash_key_file = %q\n", keyFile)
			}
			x := newShell(t, Options{Seed: 12, First: Before(time.Now(), Fortnight), Addresses: mode, HashKey: canaryKey}, lines)
			s := x.Story("canaries")
			span := []string{"--from", stamp(s.Begin), "--to", stamp(s.End.Add(time.Second))}
			for _, args := range [][]string{
				{"refusals", "--tenant", "hinode"},
				{"timeline", "--tenant", "hinode"},
				{"mail", "find", "@strict.example", "--most", "100"},
				{"mail", "find", "@strict.example", "--most", "100", "--csv"},
				{"mail", "find", "@strict.example", "--most", "100", "--json"},
			} {
				if place := shows([]byte(x.types(t, "", append(args, span...)...))); place != "" {
					t.Errorf("%q: …%s…", args, place)
				}
			}
			out, said, code := x.run(t, "", "mail", "find", s.Mails[0].Recipients[0])
			switch {
			case mode == journal.AddressesHashed && (code != 0 || !strings.Contains(out, "Recipient address rejected")):
				t.Errorf("exit code %d\n%s%s", code, out, said)
			case mode == journal.AddressesDomain && !strings.Contains(said, "no local parts"):
				t.Errorf("exit code %d\n%s%s", code, out, said)
			}
			if place := shows([]byte(out)); place != "" {
				t.Errorf("…%s…", place)
			}
			noCanaryIn(t, filepath.Join(x.dir, "history"))
		})
	}
}
