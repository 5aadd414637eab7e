package notes

import (
	"path/filepath"
	"testing"
	"time"
)

// An acknowledgement is of one alarm, or of all that are about one thing; of nothing else.
func TestWhatAnAcknowledgementIsOf(t *testing.T) {
	b, err := Open(filepath.Join(t.TempDir(), "notes.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	now := time.Now()
	write := func(about Subject) {
		if err := b.Write(t.Context(), Note{About: about, At: now, By: "alice", Text: about.key(), Until: now.Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	write(Subject{Alarm: "listed", SendingIP: "192.0.2.1", Of: "zen"})
	write(Subject{SendingIP: "192.0.2.3", Provider: "docomo"})
	write(Subject{SendingIP: "192.0.2.4"})
	acknowledged, err := b.Acknowledged(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	for alarm, want := range map[Subject]bool{
		{Alarm: "listed", SendingIP: "192.0.2.1", Of: "zen"}:             true,
		{Alarm: "listed", SendingIP: "192.0.2.1", Of: "bl"}:              false,
		{Alarm: "listed", SendingIP: "192.0.2.2", Of: "zen"}:             false,
		{Alarm: "names", SendingIP: "192.0.2.1"}:                         false,
		{Alarm: "suspended", SendingIP: "192.0.2.3", Provider: "docomo"}: true,
		{Alarm: "slow", SendingIP: "192.0.2.3", Provider: "docomo"}:      true,
		{Alarm: "suspended", SendingIP: "192.0.2.3", Provider: "google"}: false,
		{Alarm: "suspended", SendingIP: "192.0.2.4", Provider: "google"}: true,
		{Alarm: "reload"}: false,
	} {
		if n, is := Acknowledges(acknowledged, alarm); is != want {
			t.Errorf("%+v: %v by %q", alarm, is, n.Text)
		}
	}
}
