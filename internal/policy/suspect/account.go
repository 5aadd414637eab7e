package suspect

import (
	"math"
	"math/bits"
	"net/netip"
	"time"
)

// An account is what is known of one.
type account struct {
	begun   int64  // minutes since 1970 when it was first heard of here
	mails   uint32 // that MXs have begun to take
	hour    int64  // of the clock, that is being counted: since 1970
	inHour  hourly
	week    [weekHours]uint8 // the most recipients in each hour of the week, coded; it falls slowly
	day     [24]uint16       // mails by hour of the day, of each hour a few
	domains float32          // the most recipient domains in an hour; it falls slowly
	news    float32          // the largest share of new recipients in an hour; likewise
	senders places           // sender domains
	sources places           // MSAs

	score    float32 // what scanners have said
	scored   uint8   // of so many mails
	scoredAt int64   // minutes since 1970

	recent     [2]recent // of this half hour, and of the one before
	learnt     uint32    // recipients that the filter has of it, from this process
	learntFrom int64     // minutes since 1970
}

const weekHours = 7 * 24

// hourly is what is counted in an hour.
type hourly struct {
	mails   uint16
	reached uint32
	met     recent    // of the hour
	domains [4]uint64 // a bit for each domain's hash
	doubted bool      // much spoke against it
	spoiled bool      // evidence spoke against it: such an hour is nobody's habit
}

// recent are recipients of half an hour.
type recent struct {
	slot     int64
	all, new uint32
}

// turn ends the hour that was counted, if it has passed: it becomes the past. A clock that goes back does as well.
func (a *account) turn(now time.Time) {
	hour := hourOf(now)
	if hour == a.hour {
		return
	}
	if h := &a.inHour; !h.spoiled && h.mails > 0 {
		a.learn(h)
	}
	a.hour, a.inHour = hour, hourly{}
}

// learn makes an hour the past. What was doubtful becomes it by and by: a stolen account does not become usual in its first night, and a
// business that has changed is not suspected for ever.
func (a *account) learn(h *hourly) {
	reached, mails, domains := encode(h.reached), min(h.mails, hourCounts), float32(h.count())
	share := float32(0)
	if h.met.all >= leastRecent {
		share = float32(h.met.new) / float32(h.met.all)
	}
	slot := &a.week[slotOf(a.hour)]
	if h.doubted {
		reached = min(reached, max(*slot, encode(warmRecipients))+risesBy)
		mails = min(mails, hourCounts/10)
		domains = min(domains, max(a.domains, warmDomains)*5/4)
		share = min(share, a.news+0.05)
	}
	*slot = fall(*slot, reached)
	a.learnDay(a.hour, mails)
	a.domains, a.news = max(domains, a.domains*mostKept), max(share, a.news*mostKept)
}

const (
	risesBy    = 12    // twelfths of a doubling, where it is doubtful
	fallsBy    = 3     // twelfths of a doubling, each time that the hour comes with less
	mostKept   = 0.995 // each hour with mail
	hourCounts = 50    // mails: one burst does not make a habit
	dayCounts  = 4000  // of which the older half is forgotten
)

// fall is the most that was seen: at once what is more, else a little less than before.
func fall(was, now uint8) uint8 {
	if now >= was {
		return now
	}
	return max(now, was-min(was, fallsBy))
}

func (a *account) learnDay(hour int64, mails uint16) {
	a.day[dayHour(hour)] += mails
	if a.inDay() > dayCounts {
		for i := range a.day {
			a.day[i] /= 2
		}
	}
}

func (a *account) inDay() (all int) {
	for _, n := range a.day {
		all += int(n)
	}
	return all
}

// atHour is how many of these there were at an hour of the day, or at one beside it, if that has more: people are late, and summer time comes.
func (a *account) atHour(hour int64) (most int) {
	for h := hour - 1; h <= hour+1; h++ {
		most = max(most, int(a.day[dayHour(h)]))
	}
	return most
}

// usual is the most recipients an hour at this time of the week; in its first weeks, at this time of any day. 0: there is no past.
func (a *account) usual(hour int64) float64 {
	if a.inDay() == 0 {
		return 0
	}
	code := a.around(hour)
	for d := int64(1); code == 0 && d < 7; d++ {
		code = a.around(hour - 24*d)
	}
	return max(1, decode(code))
}

func (a *account) around(hour int64) uint8 {
	return max(a.week[slotOf(hour-1)], a.week[slotOf(hour)], a.week[slotOf(hour+1)])
}

func hourOf(now time.Time) int64 { return floorDiv(now.Unix(), 3600) }

func minuteOf(now time.Time) int64 { return floorDiv(now.Unix(), 60) }

func slotOf(hour int64) int { return int(hour - floorDiv(hour, weekHours)*weekHours) }

func dayHour(hour int64) int { return int(hour - floorDiv(hour, 24)*24) }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// encode and decode keep a number in an octet, in steps of a twelfth of a doubling.
func encode(n uint32) uint8 {
	if n == 0 {
		return 0
	}
	return uint8(min(255, 1+math.Round(12*math.Log2(float64(n)))))
}

func decode(code uint8) float64 {
	if code == 0 {
		return 0
	}
	return math.Exp2(float64(code-1) / 12)
}

// meet notes a recipient's domain.
func (h *hourly) meet(domain uint64) {
	bit := domain % (64 * uint64(len(h.domains)))
	h.domains[bit/64] |= 1 << (bit % 64)
}

// count estimates how many different ones there were, by how many bits none has (linear counting). It knows no more than a thousand.
func (h *hourly) count() int {
	set := 0
	for _, w := range h.domains {
		set += bits.OnesCount64(w)
	}
	const m = float64(64 * len(hourly{}.domains))
	return int(math.Round(m * math.Log(m/math.Max(m-float64(set), 1))))
}

// places are the last few that an account was seen at.
type places [4]spot

// A spot is one of them. Its members are exported for package binary.
type spot struct {
	Hash  uint32 // 0: none
	Since uint32 // hours since 1970
}

// newPlace is for how long a place is new.
const newPlace = 24 // hours

// isNew reports whether a place is new at an hour to an account that was first heard of at another one. One that the clock has yet to come to
// is not, nor is any of its first day: there is no past to compare that with.
func (p *places) isNew(hash uint32, hour, first int64) bool {
	for i := range p {
		if since := int64(p[i].Since); p[i].Hash == hash {
			return since >= first+newPlace && hour-since < newPlace && hour >= since
		}
	}
	return hour >= first+newPlace
}

// see notes a place, in place of the one that came first.
func (p *places) see(hash uint32, hour int64) {
	oldest := 0
	for i := range p {
		if p[i].Hash == hash {
			return
		}
		if p[i].Since < p[oldest].Since {
			oldest = i
		}
	}
	p[oldest].Hash, p[oldest].Since = hash, uint32(max(hour, 0)) //nolint:gosec // for half a million years
}

// isKnown reports whether enough is known of it for a new place to say something.
func (a *account) isKnown() bool { return a.mails >= newForMails }

// sourceHash is an MSA's address, as a place.
func sourceHash(source netip.Addr) uint32 {
	b := source.Unmap().As16()
	h := uint64(0)
	for i := range 2 {
		for _, o := range b[8*i : 8*i+8] {
			h = h<<8 | uint64(o)
		}
		h = mix(h)
	}
	return placeOf(h)
}

// placeOf makes a place of a hash: any but none.
func placeOf(hash uint64) uint32 { return uint32(hash>>32) | 1 }

// hear counts what a scanner has said, as the last of ScoredMost. The first few count as if some innocent mails had been before them.
func (a *account) hear(p float64, now time.Time) {
	a.score = float32(a.scoreNow(now))
	a.scored = min(a.scored+1, ScoredMost)
	weight := 1 / float32(min(int(a.scored)+priorScores, ScoredMost))
	a.score += weight * (float32(p) - a.score)
	a.scoredAt = minuteOf(now)
}

const (
	priorScores   = 4
	scoreHalfLife = 6 * 60 // minutes
	clockSlack    = 60     // minutes
)

// scoreNow is the score as it is worth now: half as much each six hours without a scan. Behind a clock that went back nobody knows how old
// it is, and it is worth nothing.
func (a *account) scoreNow(now time.Time) float64 {
	since := minuteOf(now) - a.scoredAt
	if since < -clockSlack {
		return 0
	}
	return float64(a.score) * math.Exp2(-float64(max(0, since))/scoreHalfLife)
}

const halfHour = 30 // minutes

// meets counts a recipient.
func (a *account) meets(isNew bool, now time.Time) {
	slot := floorDiv(minuteOf(now), halfHour)
	if a.recent[0].slot != slot {
		a.recent[0], a.recent[1] = recent{slot: slot}, a.recent[0]
	}
	for _, r := range [...]*recent{&a.recent[0], &a.inHour.met} {
		r.all++
		if isNew {
			r.new++
		}
	}
}

// met is how many recipients there were within half an hour to an hour.
func (a *account) met(now time.Time) (all, news int) {
	slot := floorDiv(minuteOf(now), halfHour)
	for i := range a.recent {
		if r := &a.recent[i]; slot-r.slot == 0 || slot-r.slot == 1 {
			all += int(r.all)
			news += int(r.new)
		}
	}
	return all, news
}
