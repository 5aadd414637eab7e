package dns

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	miekg "github.com/miekg/dns"
)

// wantTold compares what was told since the last time: one line for each change.
func (w *world) wantTold(lines ...string) {
	w.t.Helper()
	synctest.Wait()
	var got []string
	for _, s := range w.states() {
		line := map[bool]string{true: "answers", false: "silent"}[s.Answers]
		if s.Validates {
			line += " validates"
		}
		if s.Lost {
			line += " lost"
		}
		if (s.Why == "") != (s.Answers && s.Validates) {
			line += " why: " + s.Why
		}
		got = append(got, line)
	}
	if strings.Join(got, "\n") != strings.Join(lines, "\n") {
		w.t.Errorf("told %q, want %q", got, lines)
	}
}

// That a resolver validates is told once; while nothing changes nothing more is told.
func TestTheResolverIsLookedAt(t *testing.T) {
	inWorld(t, Settings{}, func(t *testing.T, w *world) {
		time.Sleep(10 * minute)
		w.wantTold("answers validates")
		if asked := w.zone().Asked(". SOA"); asked < 20 || asked > 22 {
			t.Errorf("%d looks in ten minutes", asked)
		}
		if s := w.State(); !s.Validates || !s.Answers || s.Lost || time.Since(s.Since) < 9*minute {
			t.Errorf("%+v", s)
		}
	})
}

// A resolver that does not validate from the start is told, and has lost nothing: what is not secure is not unsure.
//
// tls-C33, tls-S42
func TestAResolverThatNeverValidated(t *testing.T) {
	inWorld(t, Settings{}, func(t *testing.T, w *world) {
		w.zone().Validates(false)
		time.Sleep(minute)
		w.states()
		w.wantTold()
	})
	inWorld(t, Settings{Servers: []string{far}}, func(t *testing.T, w *world) {
		if a := w.ask("signed.test", TypeMX); a.Outcome != Found || a.Secure || a.Unsure {
			t.Errorf("%+v", a)
		}
		w.wantTold("answers")
		if s := w.State(); !strings.Contains(s.Why, "trust_ad") {
			t.Errorf("%+v", s)
		}
	})
}

// That a resolver has stopped validating is seen within a minute, and told once, as is its end. Meanwhile what is not secure is unsure: also
// of what was never asked for, and of what came after the resolver was last seen to validate. What was secure stays so for its TTL.
//
// tls-C33, tls-S43
func TestAResolverStopsValidating(t *testing.T) {
	inWorld(t, Settings{}, func(t *testing.T, w *world) {
		w.want("unsigned.test", TypeMX, Found, false)
		time.Sleep(35 * time.Second)
		w.wantTold("answers validates")
		w.zone().Handle("signed.test.", reply(func(m *message) {
			m.rr("signed.test. 300 IN MX 10 mx1.signed.test.")
			m.AuthenticatedData = true
		}))
		w.want("signed.test", TypeMX, Found, true)
		w.zone().Handle("signed.test.", nil)

		w.zone().Validates(false)
		lost := time.Now()
		if a := w.ask("mx1.signed.test", TypeA); a.Secure || a.Unsure { // nobody knows yet
			t.Errorf("%+v", a)
		}
		for !w.State().Lost {
			time.Sleep(time.Second)
			if time.Since(lost) > minute {
				t.Fatal("not seen within a minute")
			}
		}
		w.wantTold("answers lost")
		for _, name := range []string{"mx1.signed.test", "mx1.unsigned.test"} {
			if _, known := w.Known(name, TypeA); known {
				t.Errorf("%s is known still, from when nobody knew", name)
			}
			if a := w.ask(name, TypeA); a.Outcome != Found || a.Secure || !a.Unsure {
				t.Errorf("%s: %+v", name, a)
			}
		}
		w.want("signed.test", TypeMX, Found, true)
		time.Sleep(5 * minute)
		if a := w.ask("signed.test", TypeMX); a.Outcome != Found || a.Secure || !a.Unsure {
			t.Errorf("behind its TTL: %+v", a)
		}
		w.wantTold()

		w.zone().Validates(true)
		time.Sleep(minute)
		w.wantTold("answers validates")
		w.want("signed.test", TypeMX, Found, true)
		if a := w.want("mx1.unsigned.test", TypeA, Found, false); a.Unsure {
			t.Errorf("%+v", a)
		}
	})
}

// An answer that was secure and is not any more has the resolver looked at before anybody gets it. If the resolver is well, so is the answer.
//
// tls-C33, tls-S43
func TestWhatWasSecureIsNotBelievedInsecureWithoutALook(t *testing.T) {
	for _, blind := range []bool{true, false} {
		inWorld(t, Settings{Every: time.Hour}, func(t *testing.T, w *world) {
			w.want("mx1.signed.test", TypeA, Found, true)
			if blind {
				w.zone().Validates(false)
			} else {
				w.zone().Set(t, zone, "mx1.signed.test. UNSIGNED\nmx1.signed.test. A 192.0.2.1")
			}
			time.Sleep(2 * minute)
			if a := w.ask("mx1.signed.test", TypeA); a.Outcome != Found || a.Secure || a.Unsure != blind {
				t.Errorf("blind %t: %+v", blind, a)
			}
		})
	}
}

// While the resolver is down the last answers are used, absences and those behind their TTL too, and nothing is known of others. It
// is told once, as is its end, and then all is asked for at once.
//
// tls-C32
func TestTheResolverIsDown(t *testing.T) {
	for name, how := range map[string]func(w *world, yes bool){
		"refuses": func(w *world, yes bool) { w.set(w.down, here, yes) },
		"silent":  func(w *world, yes bool) { w.set(w.dumb, here, yes) },
		"SERVFAIL": func(w *world, yes bool) {
			w.zone().Set(w.t, map[bool]string{true: ". SERVFAIL\nsigned.test. SERVFAIL\nnothing.test. SERVFAIL\nother.test. SERVFAIL\nunsigned.test. SERVFAIL", false: zone}[yes])
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Settings{}, func(t *testing.T, w *world) {
				heard := w.want("signed.test", TypeMX, Found, true).Heard
				w.want("nothing.test", TypeMX, NoName, true)
				w.want("unsigned.test", TypeMX, Found, false)
				w.wantTold("answers validates")
				how(w, true)
				time.Sleep(2 * minute)
				w.wantTold("silent lost")
				began := time.Now()
				if a := w.want("signed.test", TypeMX, Found, true); !a.Heard.Equal(heard) || !a.Until.After(time.Now()) {
					t.Errorf("%+v", a)
				}
				w.want("nothing.test", TypeMX, NoName, true)
				if a := w.want("unsigned.test", TypeMX, Found, false); a.Unsure {
					t.Errorf("%+v", a)
				}
				if _, known := w.Known("signed.test", TypeMX); !known || time.Since(began) > 0 {
					t.Errorf("known %t, waited %s", known, time.Since(began))
				}
				w.want("other.test", TypeMX, Failed, false)
				if took := time.Since(began); took > 8*time.Second {
					t.Errorf("a failure after %s", took)
				}
				w.want("other.test", TypeMX, Failed, false)
				w.wantTold()
				how(w, false)
				time.Sleep(10 * time.Second)
				w.wantTold("answers validates")
				w.want("signed.test", TypeMX, Found, true)
				w.want("other.test", TypeMX, NoName, true)
			})
		})
	}
}

// The last answer is used for a day while the resolver is down.
//
// tls-C32
func TestTheLastAnswerIsUsedForADay(t *testing.T) {
	now := time.Now()
	k := kept{sure: Answer{Outcome: Found, Heard: now, Until: now.Add(time.Hour)}}
	k.note(Answer{Heard: now.Add(2 * time.Hour), Err: errMalformed})
	for _, c := range []struct {
		after time.Duration
		down  bool
		want  Outcome
		known bool
	}{
		{2 * time.Hour, false, Failed, true},
		{2 * time.Hour, true, Found, true},
		{2*time.Hour + minute, false, Failed, false},
		{23 * time.Hour, true, Found, true},
		{24 * time.Hour, true, Failed, false},
	} {
		a, known := k.at(now.Add(c.after), c.down)
		if a.Outcome != c.want || known != c.known || known && !a.Until.After(now.Add(c.after)) {
			t.Errorf("after %s, down %t: %+v, %t", c.after, c.down, a, known)
		}
	}
}

// That a resolver is down is seen from the first question that gets no answer, which has the last answer then.
//
// tls-C32
func TestADownResolverIsSeenByAQuestion(t *testing.T) {
	inWorld(t, Settings{Every: time.Hour}, func(t *testing.T, w *world) {
		w.want("signed.test", TypeMX, Found, true)
		time.Sleep(2 * minute)
		w.set(w.dumb, here, true)
		began := time.Now()
		w.want("signed.test", TypeMX, Found, true)
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("after %s", took)
		}
		if w.State().Answers {
			t.Error("it is taken to answer")
		}
	})
}

// A resolver that was down for a moment is looked at before what it says is unsure: it may validate as it did.
//
// tls-C32, tls-C33
func TestAResolverThatIsBackIsLookedAt(t *testing.T) {
	for _, blind := range []bool{false, true} {
		inWorld(t, Settings{}, func(t *testing.T, w *world) {
			w.want("signed.test", TypeMX, Found, true)
			w.set(w.down, here, true)
			time.Sleep(minute)
			if w.State().Answers {
				t.Fatal("it is taken to answer")
			}
			w.zone().Validates(!blind)
			w.set(w.down, here, false)
			if a := w.ask("unsigned.test", TypeMX); a.Outcome != Found || a.Secure || a.Unsure != blind {
				t.Errorf("blind %t: %+v", blind, a)
			}
			if !w.State().Answers {
				t.Error("nobody has looked")
			}
		})
	}
}

// If a domain's own servers fail and the resolver is well, nobody knows what the domain has now.
//
// tls-C32
func TestADomainsServersFail(t *testing.T) {
	inWorld(t, Settings{}, func(t *testing.T, w *world) {
		w.want("signed.test", TypeMX, Found, true)
		for _, word := range []string{"SERVFAIL", "SILENT"} {
			time.Sleep(10 * minute)
			w.zone().Set(t, zone, "signed.test. "+word)
			w.want("signed.test", TypeMX, Failed, false)
		}
		time.Sleep(10 * time.Second)
		if asked := w.zone().Asked(". SOA"); asked > 60 {
			t.Errorf("the canary was asked %d times", asked)
		}
		w.wantTold("answers validates")
	})
}

// The second server is asked if the first one says nothing, or refuses.
func TestTheSecondServer(t *testing.T) {
	inWorld(t, Settings{Servers: []string{here, near, far}}, func(t *testing.T, w *world) {
		w.zone().Set(t, zone, "signed.test. REFUSED")
		w.want("signed.test", TypeMX, Found, true)
		w.set(w.dumb, here, true)
		w.want("mx1.signed.test", TypeA, Found, true)
		w.wantTold("answers validates")
		w.set(w.dumb, near, true)
		w.want("mx1.signed.test", TypeAAAA, Failed, false)
		time.Sleep(minute)
		w.wantTold("silent lost")
		if asked := w.servers[far].Asked("."); asked != 0 {
			t.Errorf("a third server was asked %d times", asked)
		}
	})
}

// What a resolver that validates has found forged, one that does not would find good: it is not asked. If the first one says nothing at all,
// it is, and then what it says is unsure.
//
// tls-A1
func TestAServerThatDoesNotValidateDoesNotOverrule(t *testing.T) {
	for _, order := range [][]string{{here, far}, {far, here}} {
		inWorld(t, Settings{Servers: order}, func(t *testing.T, w *world) {
			w.servers[far].Set(t, "bogus.signed.test. MX 10 mx.evil.test.\nmx1.signed.test. A 198.51.100.66")
			if a := w.want("bogus.signed.test", TypeMX, Failed, false); !a.Bogus {
				t.Errorf("%+v", a)
			}
			if asked := w.servers[far].Asked("bogus.signed.test."); asked != 0 {
				t.Errorf("the other server was asked %d times", asked)
			}
			w.want("signed.test", TypeMX, Found, true)
			w.set(w.dumb, here, true)
			if a := w.ask("mx1.signed.test", TypeA); a.Outcome != Found || a.Secure || !a.Unsure {
				t.Errorf("%+v", a)
			}
		})
	}
}

// Before the first look nobody knows which server validates, so questions wait for it.
func TestQuestionsWaitForTheFirstLook(t *testing.T) {
	inWorld(t, Settings{Servers: []string{here, far}}, func(t *testing.T, w *world) {
		w.zone().Handle(".", func(rw miekg.ResponseWriter, q *miekg.Msg) {
			time.Sleep(time.Second)
			w.zone().Handle(".", nil)
			w.zone().ServeDNS(rw, q)
		})
		if a := w.want("bogus.signed.test", TypeMX, Failed, false); !a.Bogus {
			t.Errorf("%+v", a)
		}
	})
}

// Close ends whoever waits.
//
// tls-S51
func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	inWorld(t, Settings{}, func(t *testing.T, w *world) {
		ended := make(chan Answer)
		go func() { ended <- w.Ask(context.Background(), "dead.test", TypeMX, "") }()
		time.Sleep(time.Second)
		began := time.Now()
		_ = w.Close()
		if a := <-ended; a.Outcome != Failed || time.Since(began) > 0 {
			t.Errorf("%+v after %s", a, time.Since(began))
		}
	})
}
