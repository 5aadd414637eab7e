package explain

import (
	"strings"
	"testing"
	"time"

	"kanmon/internal/admin"
)

// Of a sender whose limit is used up nobody is told that all of its mail passes, nor that there is room again in no time.
func TestWhatIsBeyondALimitDoesNotPass(t *testing.T) {
	for _, test := range []struct {
		name         string
		of           admin.LimitUse
		says, saysNo string
	}{
		{"free", admin.LimitUse{Enforced: true, Used: 10, Max: 500, Room: true}, "Its mail passes.", "beyond"},
		{"close", admin.LimitUse{Enforced: true, Used: 499, Max: 500, Room: true}, "Its mail passes, but for what is beyond a limit.", "no room"},
		{"used up", admin.LimitUse{Enforced: true, Used: 500, Max: 500, Wait: 300 * time.Millisecond}, "has no room for less than a second", " 0s"},
		{"observed", admin.LimitUse{Used: 500, Max: 500, Wait: 2 * time.Second}, "Its mail passes.", "beyond"},
	} {
		x := &admin.SenderDetail{Last: new(admin.Decision)}
		x.Level, x.InForce, x.Limits = admin.LevelNormal, admin.LevelNormal, []admin.LimitUse{test.of}
		text := strings.Join(Sender(x), "\n")
		if !strings.Contains(text, test.says) || strings.Contains(text, test.saysNo) {
			t.Errorf("%s: %s\nwant %q, and not %q", test.name, text, test.says, test.saysNo)
		}
	}
}
