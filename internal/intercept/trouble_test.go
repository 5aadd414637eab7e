package intercept

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

func TestTroublePacesAndLogsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		trouble := trouble{log: slog.New(slog.NewTextHandler(&logged, nil))}
		trouble.over()
		var pauses []time.Duration
		fail := func() {
			p := trouble.pause(unix.EMFILE)
			pauses = append(pauses, p)
			time.Sleep(p)
		}
		for range 10 {
			fail()
		}
		trouble.over() // a descriptor came free, for one connection
		fail()
		fail()
		want := "[5ms 10ms 20ms 40ms 80ms 160ms 320ms 640ms 1s 1s 5ms 10ms]"
		if got := fmt.Sprint(pauses); got != want {
			t.Errorf("pauses\n got %s\nwant %s", got, want)
		}
		time.Sleep(calm)
		trouble.over()
		trouble.over()
		if n := strings.Count(logged.String(), "accepting paused"); n != 1 {
			t.Errorf("paused: logged %d times", n)
		}
		if n := strings.Count(logged.String(), "accepting again"); n != 1 {
			t.Errorf("again: logged %d times", n)
		}
		fail()
		if n := strings.Count(logged.String(), "accepting paused"); n != 2 {
			t.Errorf("a second episode: logged %d times in all", n)
		}
	})
}
