package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"kanmon/test/netlab"
)

// What a change costs: this kanmon and the one before it, in one run. The two take turns, and turns are added until the interval of
// the ratio is narrow enough to decide, or there have been too many.

// costCells are the loads: with and without TLS, a connection a message and many.
var costCells = []cell{
	{name: "plain 10 : 1 : 4 KB", sessions: 10, messages: 1, size: small},
	{name: "plain 1 : many : 4 KB", sessions: 1, size: small},
	{name: "TLS 10 : 1 : 4 KB", tls: true, sessions: 10, messages: 1, size: small},
	{name: "TLS 10 : many : 4 KB", tls: true, sessions: 10, size: small},
}

const (
	leastTurns = 8
	mostTurns  = 40
	quickTurns = 4 * mostTurns // a quick run's windows are that much shorter
	narrow     = 0.015         // half the width of the interval at which no more turns are needed
)

// A costResult is what the two cost in a cell, turn by turn.
type costResult struct {
	cell
	rounds  []round
	scanned int // messages of all rounds whose records have a verdict of the scanner
}

func (r *rig) measureCost(ctx context.Context) ([]costResult, error) {
	pair := []*contender{r.named(before), r.named(kanmon)}
	if r.conf.before == "" {
		return nil, errors.New("want -before FILE, the program to compare with")
	}
	most := mostTurns
	if r.conf.quick {
		most = quickTurns
	}
	if r.conf.behind {
		if err := r.startScanner(); err != nil {
			return nil, err
		}
	}
	var out []costResult
	err := r.withProxies(pair, copyBufferSpeed, func() error {
		for _, cell := range costCells {
			if r.conf.cells != nil && !r.conf.cells.MatchString(cell.name) {
				continue
			}
			result := costResult{cell: cell}
			r.named(kanmon).scanned = 0
			for turn := range most {
				one := make(round)
				for i := range pair {
					c := pair[(i+turn)%2] // neither is always the one behind
					spec := r.spec(cell)
					spec.Vary = r.conf.behind // else one verdict would do for all
					s, err := r.measure(ctx, c, spec)
					if err != nil {
						return err
					}
					one[c.name] = s
				}
				result.rounds = append(result.rounds, one)
				if _, half := result.ratio(); turn+1 >= leastTurns && half <= narrow {
					break
				}
			}
			result.scanned = r.named(kanmon).scanned
			out = append(out, result)
			fmt.Fprintf(os.Stderr, "bench: cost, %s, %d turns\n", cell.name, len(result.rounds))
		}
		return nil
	})
	return out, err
}

func (r *rig) startScanner() (err error) {
	if r.world.scanner, err = netlab.StartRole(r.world.gateway, "scanner", scannerOrder{Listen: scannerAddress}); err == nil {
		err = r.world.scanner.Answers.Decode(new(bool))
	}
	return err
}

// share is that of kanmon's messages that were scanned.
func (c *costResult) share() float64 {
	messages := 0
	for _, one := range c.rounds {
		messages += one[kanmon].Acked
	}
	return float64(c.scanned) / float64(max(messages, 1))
}

// ratio gives the CPU a message of kanmon to that of the one before it: the mean of the turns' logarithms, and half the width of its 95 %
// interval. What slows the machine in a turn slows both.
func (c *costResult) ratio() (mean, half float64) {
	var logs []float64
	for _, one := range c.rounds {
		a, b := one[kanmon], one[before]
		x, y := a.perMessage(a.proxy.All()), b.perMessage(b.proxy.All())
		if x > 0 && y > 0 {
			logs = append(logs, math.Log(x/y))
		}
	}
	n := float64(len(logs))
	if n < 2 {
		return math.NaN(), math.Inf(1)
	}
	var sum, squares float64
	for _, x := range logs {
		sum += x
	}
	for _, x := range logs {
		squares += (x - sum/n) * (x - sum/n)
	}
	// Student's t at 97.5 % is 2.36 for 8 turns and 2.02 for 40: 2 + 2.9/n is within 0.06 of it between.
	deviation := math.Sqrt(squares / (n - 1) / n)
	return math.Exp(sum / n), (2 + 2.9/n) * deviation * math.Exp(sum/n)
}

func (r *results) writeCost(w io.Writer) {
	if len(r.cost) == 0 {
		return
	}
	fmt.Fprintf(w, "\n## CPU a message beside the kanmon before\n\n")
	fmt.Fprintf(w, "| load | turns | before, µs | now, µs | ratio, 95 %% interval |\n|---|---|---|---|---|\n")
	for i := range r.cost {
		c := &r.cost[i]
		cpu := func(s *sample) float64 { return s.perMessage(s.proxy.All()) }
		mean, half := c.ratio()
		fmt.Fprintf(w, "| %s | %d | %v | %v | %.3f ± %.3f |\n", c.name, len(c.rounds), of(c.rounds, before, cpu), of(c.rounds, kanmon, cpu), mean, half)
	}
	for i := range r.cost {
		if c := &r.cost[i]; c.scanned > 0 {
			fmt.Fprintf(w, "\n%s: %.1f %% of kanmon's messages were scanned behind their replies; the one before had no scanner. The scanner's CPU is not counted.\n", c.name, 100*c.share())
		}
	}
}
