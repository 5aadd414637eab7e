package standing

import (
	"encoding/json"
	"testing"
	"time"
)

// kept is a store that has what the other process has written.
type kept []Standing

func (k kept) Load() ([]Standing, error) { return k, nil }
func (kept) Save([]Standing) error       { return nil }

// What the process before says of a key that nobody has changed here holds, also where that is less careful: its probe was let in. Of one
// that was changed here the more careful holds, and a person's word here is never undone.
func TestWhatTheProcessBeforeLearnsIsLearnt(t *testing.T) {
	at := func(provider string, state State, left time.Duration, strikes int, by string) Standing {
		s := Standing{Key: key(provider), State: state, Since: start, Strikes: strikes, Length: left, By: by}
		switch state {
		case Active:
			s.Share = 1
		case Slowed:
			s.Share, s.Until = 0.25, start.Add(left)
		case Suspended, Probing:
			s.Until = start.Add(left)
		}
		return s
	}
	r := newRig(t, Options{Store: kept{
		at("probed", Probing, time.Hour, 1, ByEvidence), at("worse", Suspended, time.Hour, 1, ByEvidence), at("changed", Suspended, time.Hour, 2, ByEvidence),
		at("resumed", Suspended, time.Hour, 1, ByEvidence), at("quiet", Suspended, time.Hour, 1, ByEvidence),
	}})
	if err := r.Suspend(key("changed"), start.Add(3*time.Hour), "here", "alice"); err != nil {
		t.Fatal(err)
	}
	if err := r.Resume(key("resumed"), "alice"); err != nil {
		t.Fatal(err)
	}
	told := []Standing{
		at("probed", Active, 0, 1, ByEvidence), at("worse", Suspended, 5*time.Hour, 2, ByEvidence), at("changed", Active, 0, 3, ByEvidence),
		at("resumed", Slowed, time.Hour, 1, ByEvidence), at("new", Suspended, 2*time.Hour, 1, ByEvidence), at("blank", Active, 0, 0, ByEvidence),
		{Key: Key{Provider: "nobody's"}, State: Stopped},
	}
	text, err := json.Marshal(told)
	if err != nil {
		t.Fatal(err)
	}
	var heard []Standing
	if err := json.Unmarshal(text, &heard); err != nil {
		t.Fatal(err)
	}
	for range 2 { // what is told twice is so once
		r.Learn(heard)
	}
	r.want(key("probed"), Active, 1, 0)
	if s := r.want(key("worse"), Suspended, 0, 5*time.Hour); s.Strikes != 2 {
		t.Errorf("%d strikes, want the other's 2, and no sum", s.Strikes)
	}
	if s := r.want(key("changed"), Suspended, 0, 3*time.Hour); s.Strikes != 3 {
		t.Errorf("%d strikes, want 3", s.Strikes)
	}
	r.want(key("resumed"), Slowed, 0.25, time.Hour)
	r.want(key("new"), Suspended, 0, 2*time.Hour)
	r.want(key("quiet"), Suspended, 0, time.Hour)
	if len(r.List()) != 6 {
		t.Errorf("it has %v", r.List())
	}
}
