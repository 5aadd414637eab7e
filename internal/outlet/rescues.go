package outlet

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"kanmon/internal/outlet/standing"
)

// Rescues remember, over reloads too, how many sending IPs each tenant has been given for others at a provider, and which ones may have
// been refused there for what they are.
type rescues struct {
	log   *slog.Logger
	twice *twice

	mu      sync.Mutex
	tenants map[string]*tenantRescues
	budgets int // of all tenants
	turned  atomic.Int64
	pruned  time.Time
}

type tenantRescues struct {
	spent   map[spending]*budget
	refused map[standing.Key]time.Time
}

// A spending is what is counted together. Dials are counted apart: an MX that is down must not use up what a listing will need.
type spending struct {
	tenant, provider string
	dial             bool
}

const (
	rescuesOfTenant = 500    // budgets, and as many refusals
	rescuesOfAll    = 20_000 // of each
	refusedFor      = 4 * time.Hour
	pruneEvery      = time.Minute
)

func newRescues(log *slog.Logger) *rescues {
	return &rescues{log: log, twice: newTwice(), tenants: map[string]*tenantRescues{}}
}

// take counts a rescue, unless there have been so many within the hour. Who cannot be counted gets none.
func (r *rescues) take(s spending, perHour int) bool {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.budgetOf(s, now)
	if b == nil {
		return false
	}
	taken := b.take(now, perHour)
	if !taken && now.Sub(b.told) >= budgetSpan {
		b.told = now
		// The log may be stuck, and nobody waits for it here.
		go r.log.Warn("no more rescues within this hour",
			"tenant", s.tenant, "provider", s.provider, "per_hour", perHour, "of_dials", s.dial)
	}
	return taken
}

// budgetOf returns what is counted by, and begins it; nil if there is no room for it.
func (r *rescues) budgetOf(s spending, now time.Time) *budget {
	if t := r.tenants[s.tenant]; t != nil && t.spent[s] != nil {
		return t.spent[s]
	}
	full := func() bool {
		t := r.tenants[s.tenant]
		return r.budgets >= rescuesOfAll || t != nil && len(t.spent) >= rescuesOfTenant
	}
	if full() {
		if r.prune(now); full() {
			return nil
		}
	}
	b := &budget{}
	r.of(s.tenant).spent[s] = b
	r.budgets++
	return b
}

// room reports whether take would count another.
func (r *rescues) room(s spending, perHour int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.tenants[s.tenant]; t != nil && t.spent[s] != nil {
		return t.spent[s].count(time.Now()) < perHour
	}
	return perHour > 0
}

// of returns where a tenant's things are remembered.
func (r *rescues) of(tenant string) *tenantRescues {
	t := r.tenants[tenant]
	if t == nil {
		t = &tenantRescues{spent: map[spending]*budget{}, refused: map[standing.Key]time.Time{}}
		r.tenants[tenant] = t
	}
	return t
}

// remember notes that a sending IP may have been refused for what it is.
func (r *rescues) remember(tenant string, key standing.Key) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	full := func() bool {
		t := r.tenants[tenant]
		return r.turned.Load() >= rescuesOfAll || t != nil && len(t.refused) >= rescuesOfTenant
	}
	if !r.knows(tenant, key) {
		if full() {
			r.prune(now)
		}
		if full() {
			return
		}
		r.turned.Add(1)
	}
	r.of(tenant).refused[key] = now
}

func (r *rescues) knows(tenant string, key standing.Key) bool {
	if t := r.tenants[tenant]; t != nil {
		_, known := t.refused[key]
		return known
	}
	return false
}

// any reports whether anything is remembered as refused: hardly ever.
func (r *rescues) any() bool { return r.turned.Load() > 0 }

// refused reports whether a sending IP may lately have been refused for what it is, with mail of the tenant.
func (r *rescues) refused(tenant string, key standing.Key) bool {
	if !r.any() {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.tenants[tenant]
	if t == nil {
		return false
	}
	at, known := t.refused[key]
	if known && time.Since(at) >= refusedFor {
		delete(t.refused, key)
		r.turned.Add(-1)
		return false
	}
	return known
}

// forget ends what is remembered of a sending IP, for all tenants.
func (r *rescues) forget(key standing.Key) {
	if !r.any() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.tenants {
		if _, known := t.refused[key]; known {
			delete(t.refused, key)
			r.turned.Add(-1)
		}
	}
}

// prune forgets what is out of date, now and then: it looks at all there is.
func (r *rescues) prune(now time.Time) {
	if now.Sub(r.pruned) < pruneEvery {
		return
	}
	r.pruned = now
	for name, t := range r.tenants {
		for s, b := range t.spent {
			if b.count(now) == 0 {
				delete(t.spent, s)
				r.budgets--
			}
		}
		for key, at := range t.refused {
			if now.Sub(at) >= refusedFor {
				delete(t.refused, key)
				r.turned.Add(-1)
			}
		}
		if len(t.spent)+len(t.refused) == 0 {
			delete(r.tenants, name)
		}
	}
}

// A budget counts what was taken within the last hour, in steps: a little longer than that, never less.
type budget struct {
	steps [budgetSteps + 1]int32
	first time.Time // of the step at index 0
	told  time.Time // when the log was told that there is no more
}

const (
	budgetSpan  = time.Hour
	budgetSteps = 12
	budgetStep  = budgetSpan / budgetSteps
)

func (b *budget) take(now time.Time, most int) bool {
	if b.count(now) >= most {
		return false
	}
	b.steps[int(now.Sub(b.first)/budgetStep)]++
	return true
}

// count returns what was taken and is not out of date, and makes room for now.
func (b *budget) count(now time.Time) (sum int) {
	if b.first.IsZero() {
		b.first = now
	}
	if past := int(now.Sub(b.first)/budgetStep) - budgetSteps; past > 0 {
		kept := copy(b.steps[:], b.steps[min(past, len(b.steps)):])
		clear(b.steps[kept:])
		b.first = b.first.Add(time.Duration(past) * budgetStep)
	}
	for _, n := range b.steps {
		sum += int(n)
	}
	return sum
}
