package days

import (
	"slices"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
	"kanmon/internal/view/history/index"
)

type countKey struct{ unit, tenant, at, gateway, provider, ip, outcome, class int64 }

type accountKey struct {
	tenant                  int64
	account                 string
	gateway, outcome, class int64
}

type tookKey struct{ unit, phase, provider, at, ip int64 }

// Refusals are added up for each tenant, provider and sending IP, for each two of them, for all three, and for none: these are the bits of which a sum is.
// The others are 0 there, which is the number of no name.
const (
	perTenant = 1 << iota
	perProvider
	perIP
	perEach // behind the last of the sums
)

type refusedKey struct{ per, tenant, provider, ip, class, rule, shape int64 }

// of gives the same with only those of tenant, provider and sending IP that a sum is of.
func (k refusedKey) of(per int64) refusedKey {
	k.per = per
	if per&perTenant == 0 {
		k.tenant = 0
	}
	if per&perProvider == 0 {
		k.provider = 0
	}
	if per&perIP == 0 {
		k.ip = 0
	}
	return k
}

type refused struct{ count, first, last int64 }

// refuse adds a refusal to all sums that it belongs to.
func (w *filling) refuse(k refusedKey, at int64) {
	for per := range int64(perEach) {
		of := k.of(per)
		sum := w.refused[of]
		if sum == nil {
			sum = &refused{0, at, at}
			w.refused[of] = sum
		}
		sum.count, sum.first, sum.last = sum.count+1, min(sum.first, at), max(sum.last, at)
	}
}

type tally struct{ attempts, first, recipients, octets, rescued, tls int64 }

func (t *tally) add(o tally) {
	t.attempts += o.attempts
	t.first += o.first
	t.recipients += o.recipients
	t.octets += o.octets
	t.rescued += o.rescued
	t.tls += o.tls
}

// count adds an attempt to what is counted.
func (w *filling) count(r *row, e *event.Entry, a *history.Attempt, joined bool) error {
	gateway, err := w.name(a.Gateway)
	if err != nil {
		return err
	}
	one := tally{attempts: 1, recipients: int64(len(a.Recipients) + a.More), octets: a.Octets}
	if !joined {
		one.first = 1
	}
	if r.flags&isRescued != 0 {
		one.rescued = 1
	}
	if a.TLS == "tls" {
		one.tls = 1
	}
	ms := r.id / perMilli
	for _, unit := range index.Units {
		all := countKey{unit: unit, at: index.UnitOf(unit, ms), gateway: gateway, outcome: r.outcome, class: r.class}
		addTo(w.counts, all, one)
		of := all
		of.provider, of.ip = r.provider, r.ip
		addTo(w.counts, of, one)
		if unit != index.UnitFive {
			of.tenant = r.tenant
			addTo(w.counts, of, one)
		}
	}
	if a.Account != "" {
		addTo(w.account, accountKey{r.tenant, a.Account, gateway, r.outcome, r.class}, one)
	}
	w.more["attempts"]++
	return w.times(r, e)
}

func addTo[K comparable](all map[K]*tally, key K, one tally) {
	sum := all[key]
	if sum == nil {
		sum = new(tally)
		all[key] = sum
	}
	sum.add(one)
}

// times adds what the MX took.
func (w *filling) times(r *row, e *event.Entry) error {
	ms := r.id / perMilli
	for _, t := range history.Took(e) {
		phase, err := w.name(t.Phase)
		if err != nil {
			return err
		}
		provider, err := w.name(t.Provider)
		if err != nil {
			return err
		}
		ip := ""
		if t.SendingIP.IsValid() {
			ip = t.SendingIP.String()
		}
		from, err := w.name(ip)
		if err != nil {
			return err
		}
		bucket, _ := slices.BinarySearch(history.Buckets[:], t.For.Seconds())
		for _, unit := range [...]int64{index.UnitFive, index.UnitHour} {
			key := tookKey{unit, phase, provider, index.UnitOf(unit, ms), from}
			if w.took[key] == nil {
				w.took[key] = new([len(history.Buckets) + 1]int64)
			}
			w.took[key][bucket]++
		}
	}
	return nil
}

// flushSums writes roll-ups.
func (w *filling) flushSums() error {
	for k, t := range w.counts {
		if k.unit == index.UnitFive && w.level != detail {
			continue
		}
		if err := w.put("count", k.unit, k.tenant, k.at, k.gateway, k.provider, k.ip, k.outcome, k.class, t.attempts, t.first, t.recipients, t.octets, t.rescued, t.tls); err != nil {
			return err
		}
	}
	for k, t := range w.account {
		if err := w.put("account", k.tenant, k.account, k.gateway, k.outcome, k.class, t.attempts, t.first, t.recipients, t.octets, t.rescued, t.tls); err != nil {
			return err
		}
	}
	for k, c := range w.took {
		if k.unit == index.UnitFive && w.level != detail {
			continue
		}
		args := []any{k.unit, k.phase, k.provider, k.at, k.ip}
		for _, n := range c {
			args = append(args, n)
		}
		if err := w.put("took", args...); err != nil {
			return err
		}
	}
	for k, r := range w.refused {
		if err := w.put("refusal", k.per, k.tenant, k.provider, k.ip, k.class, k.rule, k.shape, r.count, r.first, r.last); err != nil {
			return err
		}
	}
	for run := range w.changed {
		if err := w.flushSeen(run); err != nil {
			return err
		}
	}
	for key, n := range w.more {
		if err := w.put("more", key, n); err != nil {
			return err
		}
	}
	return nil
}
