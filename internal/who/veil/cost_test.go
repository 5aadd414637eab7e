package veil

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// What a refusal costs when what it says is kept: it is paid by the goroutine that the mail passes.
func BenchmarkSaid(b *testing.B) {
	for name, reply := range map[string]string{
		"an address": "550 5.1.1 <alice.bryant@example.com>: Recipient address rejected: User unknown in virtual mailbox table",
		"no address": "451 4.7.650 The mail server [203.0.113.11] has been temporarily rate limited due to IP reputation (S775) For e-mail delivery information, see https://postmaster.example.com",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Said(reply, "news+bob=example.com@lists.acme.example", "alice.bryant@example.com")
			}
		})
	}
}

// The short way and the pattern hide the same.
func TestThePlainWayHidesWhatThePatternDoes(t *testing.T) {
	parts := []string{"bob", "a.b+c", "@", "＠", " ", "<", ">", "\"", ":", ",", ";", "(", "]", "\t", "\n", "\f", "\v", "\u00a0", "é", "\xff", "%", "=", "/", "?x=", "&", "'", "例"}
	r := rand.New(rand.NewPCG(1, 2))
	tried := 0
	for range 200_000 {
		var to strings.Builder
		for range 1 + r.IntN(8) {
			to.WriteString(parts[r.IntN(len(parts))])
		}
		text := to.String()
		if !isPlain(text) {
			continue
		}
		tried++
		want := addressed.ReplaceAllStringFunc(text, func(string) string { return hidden + "@" })
		if got := plain(text); got != want {
			t.Fatalf("%q: %q, want %q", text, got, want)
		}
	}
	if tried < 100_000 {
		t.Errorf("%d texts were plain", tried)
	}
}
