package contain

import (
	"kanmon/internal/who/witness"
)

// An origins is which receivers outcomes came from: exactly for the first four, the others together. Those with a provider's name take
// the place of strangers, so that nobody can crowd them out. All are halved every 12 hours.
type origins struct {
	who       [4]witness.Mark
	n         [4]uint32
	rest      uint32 // outcomes of others
	restNamed uint32 // of them, those of providers with a name
	turn      int32
}

func (o *origins) add(minute int32, who witness.Mark) {
	o.expire(minute)
	free, least := -1, -1
	for i := range o.who {
		switch {
		case o.n[i] == 0:
			free = i
		case o.who[i].Same(who):
			o.n[i]++
			return
		case !o.who[i].Named() && (least < 0 || o.n[i] < o.n[least]):
			least = i
		}
	}
	switch {
	case free >= 0:
		o.who[free], o.n[free] = who, 1
	case who.Named() && least >= 0:
		o.addRest(o.who[least], o.n[least])
		o.who[least], o.n[least] = who, 1
	default:
		o.addRest(who, 1)
	}
}

func (o *origins) addRest(who witness.Mark, n uint32) {
	o.rest += n
	if who.Named() {
		o.restNamed += n
	}
}

func (o *origins) expire(minute int32) {
	turn := minute / halfDay
	if turn == o.turn {
		return
	}
	by := min(uint32(turn-o.turn), 31)
	for i := range o.n {
		o.n[i] >>= by
	}
	o.rest >>= by
	o.restNamed >>= by
	o.turn = turn
}

// count says how many origins there are. One that gave less than three outcomes, or than an eighth of all, is none: a
// sender whose one correspondent refuses everything is not refused by two because of stray refusals elsewhere.
func (o *origins) count() int {
	total := o.total()
	count := 0
	for _, n := range [...]uint32{o.n[0], o.n[1], o.n[2], o.n[3], o.rest} {
		if n >= 3 && n*8 >= total {
			count++
		}
	}
	if o.rest >= 3 && o.rest*2 >= total {
		count += 2 // many small ones
	}
	return count
}

func (o *origins) total() uint32 {
	total := o.rest
	for _, n := range o.n {
		total += n
	}
	return total
}

// refusers are the origins of bad outcomes.
type refusers struct {
	origins
	strangers witness.Crowd // of this half of the day
}

func (o *refusers) add(minute int32, who witness.Mark) {
	if minute/halfDay != o.turn {
		o.strangers = witness.Crowd{}
	}
	o.origins.add(minute, who)
	o.strangers.Add(who)
}

// attested is the part of the outcomes that is worth more than slow: what providers with a name say, and of what strangers say as much
// again. The part for divert is more if so many strangers say it that nobody can have been them all.
func (o *refusers) attested() (part, divert float64) {
	total, byName := o.total(), o.named()
	if total == 0 {
		return 0, 0
	}
	named := float64(byName.total()) / float64(total)
	part = min(1, 2*named)
	return part, max(part, named+(1-named)*o.strangers.Many())
}

// named returns the part of providers with a name.
func (o *origins) named() (only origins) {
	only = origins{turn: o.turn, rest: o.restNamed, restNamed: o.restNamed}
	for i, who := range o.who {
		if who.Named() {
			only.who[i], only.n[i] = who, o.n[i]
		}
	}
	return only
}

// most returns who has most outcomes, and what share; the share is 0 if that is one of the rest.
func (o *origins) most() (who witness.Mark, share float64) {
	total, top := o.total(), 0
	for i, n := range o.n {
		if n > o.n[top] {
			top = i
		}
	}
	if total == 0 || o.n[top] == 0 {
		return 0, 0
	}
	return o.who[top], float64(o.n[top]) / float64(total)
}
