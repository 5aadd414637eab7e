package policy

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
)

// PartName is the name of the limits and of containment for the heir of the file ([store.File.Keep]), which is told what [Policy.Learn] reads.
const PartName = "policy"

// A bequest is what another process would write.
type bequest struct {
	Changes []Change
	Part    *Part
}

// An inheritance is what this process has begun with, to tell what the other one has added to it.
type inheritance struct {
	debts *limit.Inheritance
	read  time.Time // when the file was as this process has read it
}

// Learn takes over what another process would write, which has had the file before this one and lets its sessions end. The
// Policy was made with Options.Inherits.
func (p *Policy) Learn(rows json.RawMessage) error {
	var b bequest
	if err := json.Unmarshal(rows, &b); err != nil || b.Part == nil {
		return fmt.Errorf("limits and containment of the kanmon before: %w", err)
	}
	p.mu.Lock()
	from := p.inherited
	p.mu.Unlock()
	if from == nil {
		return nil
	}
	set := p.settings.Load()
	limits := []*limit.Limit{set.slow}
	for _, l := range set.Limits {
		limits = append(limits, l.Limit)
	}
	from.debts.Learn(b.Part.Debts, limits)
	p.detector.Learn(&b.Part.Senders, from.read)
	for _, g := range b.Part.Given {
		p.give(override{g.Subject, g.Limit}, g.Amount)
	}
	p.learnMarks(b.Part.Marks, b.Part.Unmarked)
	for i := range b.Changes {
		select {
		case p.pending <- due{Change: b.Changes[i], told: toldKept}: // the other one has told it
		default:
		}
	}
	return nil
}

func (p *Policy) learnMarks(all []Mark, unmarked []contain.Subject) {
	if len(all)+len(unmarked) == 0 {
		return
	}
	p.mu.Lock()
	marked := marks{}
	for s, m := range *p.marked.Load() {
		marked[s] = m
	}
	for _, m := range all {
		marked[m.Subject] = m
	}
	for _, s := range unmarked {
		delete(marked, s)
	}
	p.marked.Store(&marked)
	p.mu.Unlock()
	p.remark("")
}

// Inherited says that there is nothing more to learn.
func (p *Policy) Inherited() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inherited = nil
}

// Flush writes what has changed, for whoever reads the file next.
func (p *Policy) Flush(ctx context.Context) error {
	if p.store == nil {
		return nil
	}
	return p.saveAll(ctx)
}
