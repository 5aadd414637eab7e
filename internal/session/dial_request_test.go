package session_test

import (
	"context"
	"slices"
	"testing"

	"kanmon/internal/session"
)

// The way is told whether it dials in place of an IP that was tried for this very mail: what an IP was refused for before may have been
// another mail.
func TestDialRequestTellsARescue(t *testing.T) {
	for _, verb := range []string{"BANNER", "EHLO", "MAIL"} { // the first two are met within the move
		t.Run(verb, bubble(func(t *testing.T) {
			r := newManyIPs(3)
			p := poolOf{r}
			var rescues []bool
			r.engine.Mover = p
			r.engine.Dialer = dialFunc(func(ctx context.Context, req session.DialRequest) (session.Outbound, error) {
				rescues = append(rescues, req.Rescue)
				return p.dial(ctx, req)
			})
			r.mxs[1].Reply = always(verb, listed)
			msa := r.hello(t)
			for _, command := range []string{"MAIL FROM:<b@example.com>", "RSET", "MAIL FROM:<a@example.com>"} {
				if got := msa.Command(command); got.Code != 250 {
					t.Errorf("%s: %v", command, got)
				}
			}
			finishSession(msa)
			// The connection at the start, the move to b's pool, the next of that pool, the move back to a's.
			if want := []bool{false, false, true, false}; !slices.Equal(rescues, want) {
				t.Errorf("rescues %v, want %v; dialled %v", rescues, want, r.dialed)
			}
		}))
	}
}
