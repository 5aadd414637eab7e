package watch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/standing"
)

const (
	silentFirst = 5 * time.Minute // until a list is asked again that has not answered; then twice as long, up to the interval
	restLongest = 24 * time.Hour  // and one that refuses: it wants to be asked less
	silentMost  = 3               // times that a list may not answer, and still be believed
	askTime     = 20 * time.Second
)

// watchList asks a list about all IPs, again and again, until ctx ends.
func (r *round) watchList(ctx context.Context, l List) {
	failed, next, first := 0, 0, true
	for {
		began := time.Now()
		err := r.askAll(ctx, l, &next, r.gap(first))
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			failed, first = 0, false
			r.w.note(Seen{List: l.Name, State: event.SightBelieved})
			if !r.rest(ctx, began) {
				return
			}
			continue
		}
		failed++
		r.w.o.Log.Info("public list not believed", "list", l.Name, "error", err, "times", failed)
		wait := min(silentFirst<<min(failed-1, 16), r.Every)
		if refuses(err) {
			wait = min(r.Every<<min(failed-1, 16), restLongest)
		}
		if refuses(err) || failed >= silentMost {
			r.w.note(Seen{List: l.Name, State: event.SightNotBelievable, Why: err.Error()})
		} else {
			r.w.silent(about{list: l.Name}, err.Error())
		}
		for _, own := range r.IPs {
			r.w.silent(about{own.IP, l.Name}, err.Error())
		}
		if !pause(ctx, wait) {
			return
		}
	}
}

// refuses reports whether an error is what the list says, and not that nothing came of the question.
func refuses(err error) bool {
	return errors.Is(err, standing.ErrRefused) || errors.Is(err, standing.ErrNoList) || errors.Is(err, standing.ErrListsAll) || errors.Is(err, standing.ErrListsNone)
}

// askAll asks about each IP once, from that on where it was given up the last time. An error is about the list: there is no use in going on.
func (r *round) askAll(ctx context.Context, l List, next *int, gap time.Duration) error {
	asks := asker{standing.DNSBL{Resolver: r.resolver}, l.Zone}
	lacks, err := r.believe(ctx, l, asks)
	if err != nil {
		return err
	}
	for range r.IPs {
		own := r.IPs[*next%len(r.IPs)]
		if !pause(ctx, gap) {
			return ctx.Err()
		}
		if err := lacks[own.IP.Is6()]; err != nil {
			r.w.silent(about{own.IP, l.Name}, err.Error())
			*next++
			continue
		}
		if err := r.askOne(ctx, l, asks, own); err != nil {
			return err
		}
		*next++
	}
	return nil
}

// askOne asks about one IP. That a list has let go of it is believed of a list that is still one: its beginning may be an interval ago.
func (r *round) askOne(ctx context.Context, l List, asks asker, own Own) error {
	codes, err := asks.about(ctx, own)
	if err == nil && len(codes) == 0 && r.w.stateOf(about{own.IP, l.Name}) == event.SightListed {
		err = asks.believe(ctx, own.IP.Is6())
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		r.w.count(l.Name, resultOf(err))
		return err
	}
	seen, result := Seen{IP: own.IP, List: l.Name, State: event.SightClear, Codes: codes}, "no"
	if len(codes) > 0 {
		seen.State, result = event.SightListed, "yes"
	}
	r.w.count(l.Name, result)
	r.w.note(seen)
	return nil
}

// believe asks a list about what every list has, and about what none may have, of the families of the IPs. That it has no addresses of one of
// two families is no reason not to believe what it says of the other.
func (r *round) believe(ctx context.Context, l List, asks asker) (lacks map[bool]error, err error) {
	lacks = map[bool]error{}
	families := 0
	for _, v6 := range [...]bool{false, true} {
		if !slices.ContainsFunc(r.IPs, func(o Own) bool { return o.IP.Is6() == v6 }) {
			continue
		}
		families++
		err := asks.believe(ctx, v6)
		if errors.Is(err, standing.ErrListsNone) {
			lacks[v6] = err
			continue
		}
		if err != nil {
			if ctx.Err() == nil {
				r.w.count(l.Name, resultOf(err))
			}
			return nil, err
		}
	}
	if len(lacks) == families {
		for _, err := range lacks {
			r.w.count(l.Name, resultOf(err))
			return nil, err
		}
	}
	return lacks, nil
}

func resultOf(err error) string {
	if refuses(err) {
		return "unbelieved"
	}
	return "error"
}

// An asker asks one list. An error does not have the zone in it, which may hold a key.
type asker struct {
	dnsbl standing.DNSBL
	zone  string
}

func (a asker) believe(ctx context.Context, v6 bool) error {
	limited, done := context.WithTimeout(ctx, askTime)
	defer done()
	return plain(a.dnsbl.Believe(limited, a.zone, v6))
}

func (a asker) about(ctx context.Context, own Own) (codes []string, err error) {
	limited, done := context.WithTimeout(ctx, askTime)
	defer done()
	answers, err := a.dnsbl.Codes(limited, own.IP, a.zone)
	for _, code := range answers[:min(len(answers), mostCodes)] {
		codes = append(codes, code.String())
	}
	slices.Sort(codes)
	return codes, plain(err)
}

// mostCodes is how many answers of a list about an IP are shown.
const mostCodes = 16

// errSilent is that nothing came of a question.
var errSilent = errors.New("no answer")

// plain says what is wrong without saying what was asked.
func plain(err error) error {
	if err == nil {
		return nil
	}
	for _, known := range [...]error{standing.ErrRefused, standing.ErrNoList, standing.ErrListsAll, standing.ErrListsNone} {
		if errors.Is(err, known) {
			return known
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return errSilent
	}
	var failed *failure
	if errors.As(err, &failed) {
		return fmt.Errorf("%w: %s", errSilent, failed.Err)
	}
	return errSilent
}
