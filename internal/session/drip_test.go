package session_test

import (
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/smtptest"
)

// An MX that gives its reply octet by octet does not hide that the MSA has hung up.
//
// law: S1/MSA-lost S3/MSA-lost
func TestHangUpIsSeenBehindADrippingReply(t *testing.T) {
	for _, pause := range []time.Duration{40 * time.Millisecond, 250 * time.Millisecond, time.Second} {
		t.Run(pause.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.mx.Reply = func(verb string, _ int) string {
					if verb != "BANNER" {
						return smtptest.Default
					}
					drip := "220"
					for range 1000 {
						drip += smtptest.Delay(pause) + "-"
					}
					return drip
				}
				msa := w.connect()
				time.Sleep(10 * time.Second)
				begun := time.Now()
				msa.Close()
				for w.record.lastEnd() == "" && time.Since(begun) < time.Hour {
					time.Sleep(time.Second)
				}
				if d := time.Since(begun); d > 5*time.Second {
					t.Errorf("the session went on for %s", d)
				}
				w.close()
			})
		})
	}
}
