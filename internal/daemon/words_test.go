package daemon

import (
	"testing"

	"kanmon/internal/admin"
	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
)

// The admin socket has words of its own, since admin knows nobody. They are those of the packages that give them their meaning.
func TestWordsOfTheSocket(t *testing.T) {
	levels := map[contain.Level]string{
		contain.Normal: admin.LevelNormal, contain.Slow: admin.LevelSlow, contain.Divert: admin.LevelDivert, contain.Stop: admin.LevelStop,
	}
	for level, word := range levels {
		if level.String() != word {
			t.Errorf("level %v is %q on the socket", level, word)
		}
	}
	if n := len(contain.Normal.Words()) + 1; len(levels) != n {
		t.Errorf("%d levels, of which the socket has words for %d", n, len(levels))
	}
	kinds := map[contain.Kind]string{contain.Plain: admin.KindNone, contain.List: admin.KindList, contain.Forwarder: admin.KindForwarder}
	for kind, word := range kinds {
		if kind.String() != word {
			t.Errorf("kind %v is %q on the socket", kind, word)
		}
	}
	if n := len(contain.Plain.Words()) + 1; len(kinds) != n {
		t.Errorf("%d kinds, of which the socket has words for %d", n, len(kinds))
	}
	if got := limit.PerAccount.String(); got != "account" {
		t.Errorf("limits of an account are of %q on the socket, by which commands find them", got)
	}
}
