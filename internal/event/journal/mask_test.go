package journal

import "testing"

// Whoever looks for an address in the records finds it as they have it, in any letter case.
func TestAMaskShowsWhatTheRecordsShow(t *testing.T) {
	key := []byte("0123456789abcdef")
	for _, c := range []struct {
		mode AddressMode
		same bool
	}{{AddressesClear, false}, {AddressesHashed, true}, {AddressesDomain, true}} {
		m := Mask{c.mode, key}
		g := newGuard(c.mode, key)
		for _, path := range []string{"Alice.B@Example.net", `"alice b"@example.net`, "", "bob@[192.0.2.1]", "nobody"} {
			if got, want := m.Address(path), string(g.address([]byte(path))); got != want {
				t.Errorf("%s: %q is shown as %q, in the records it is %q", c.mode, path, got, want)
			}
		}
		if got, want := m.MessageID("1@msa.example"), string(g.messageID([]byte("1@msa.example"))); got != want {
			t.Errorf("%s: a Message-ID is shown as %q, in the records it is %q", c.mode, got, want)
		}
		if got := m.Address("ALICE@Example.net") == m.Address("alice@Example.net"); got != c.same {
			t.Errorf("%s: the same in another letter case: %v", c.mode, got)
		}
	}
}
