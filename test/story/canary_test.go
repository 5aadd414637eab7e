package story

import (
	"bytes"
	"testing"

	"kanmon/internal/event/journal"
)

var canaryKey = []byte("a key of canaries")

// hiding are the modes in which people are hidden.
var hiding = []journal.AddressMode{journal.AddressesHashed, journal.AddressesDomain}

// shows gives the place around a canary, in whatever letters; "": there is none.
func shows(text []byte) string {
	at := bytes.Index(bytes.ToLower(text), []byte(CanaryPrefix))
	if at < 0 {
		return ""
	}
	return string(text[max(0, at-300):min(len(text), at+100)])
}

// Where addresses are hidden, none of the canaries is on record; where they are not, all of them are, so that this could fail.
func TestNoCanaryIsOnRecord(t *testing.T) {
	for _, mode := range append(hiding, journal.AddressesClear) {
		t.Run(mode.String(), func(t *testing.T) {
			seen := 0
			if _, err := Tell(Options{Addresses: mode, HashKey: canaryKey}, func(_ string, line []byte) error {
				if place := shows(line); place != "" {
					if seen++; mode != journal.AddressesClear {
						t.Errorf("…%s…", place)
					}
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if mode == journal.AddressesClear && seen < 20 {
				t.Errorf("%d lines show canaries where nothing is hidden", seen)
			}
		})
	}
}
