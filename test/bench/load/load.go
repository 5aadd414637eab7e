package load

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"time"
)

// A Spec says what load to make.
type Spec struct {
	Target   netip.AddrPort // the MX
	From     []netip.Addr   // source addresses, used in turn; empty: the kernel's choice
	Sessions int            // sessions at once
	Messages int            // messages of one session; 0: as many as the time allows
	Size     int            // octets of one message, from the first octet after DATA's reply to the last before the dot; at least 64
	TLS      bool           // use STARTTLS; the certificate is not checked
	Opening  int            // sessions not yet past EHLO at once; 0: no limit
	Vary     bool           // no two messages have the same text
	Pace     time.Duration  // time between the starts of two messages of a session, at least; 0: none
	Warmup   time.Duration  // time before the window opens
	Window   time.Duration  // time that counts; 0: no window, the sessions run until the context ends and are then cut
}

// A Result is what became of the load.
type Result struct {
	Acked   int           // messages acknowledged with 2xx, in all
	Counted int           // messages acknowledged inside the window
	Window  time.Duration // length of the window
	Failed  int           // sessions that ended otherwise than by QUIT
	Failure string        // the first failure; "" if none
	Message Quantiles     // start of MAIL → final reply read
	Reply   Quantiles     // final reply written by the MX → read here; zero if the replies carry no time
	Session Quantiles     // start of connect → final reply to the session's first message read
}

// Quantiles are those of the samples inside the window; zero without samples.
type Quantiles struct {
	P50, P99 time.Duration
}

// grace is how long sessions may take to end after the window has closed.
const grace = 20 * time.Second

// ErrNothingAccepted is returned by Run when every session failed and no message was acknowledged.
var ErrNothingAccepted = errors.New("no message was acknowledged")

// Run makes the load. window is called twice, when the window opens and when it closes, unless the Spec has none; it must not
// take long. Run returns when all sessions have ended.
func Run(ctx context.Context, spec Spec, window func(open bool)) (Result, error) {
	if spec.Sessions < 1 || spec.Size < minSize {
		return Result{}, fmt.Errorf("load of %d sessions with messages of %d octets: at least 1 and %d", spec.Sessions, spec.Size, minSize)
	}
	plan := newPlan(spec)
	told := make(chan struct{})
	if spec.Window > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, plan.wall.Add(spec.Warmup+spec.Window+grace))
		defer cancel()
		go func() {
			defer close(told)
			tellWindow(ctx, plan, window)
		}()
	} else {
		close(told)
	}
	run := runLoops
	if spec.TLS {
		run = runTLS
	}
	total, err := run(ctx, plan)
	// A load that failed at once must still let the window close, or its caller waits for it for ever.
	<-told
	if err != nil {
		return Result{}, err
	}
	result := total.result(spec.Window)
	if result.Acked == 0 && result.Failed > 0 {
		return result, fmt.Errorf("%w: %s", ErrNothingAccepted, result.Failure)
	}
	return result, nil
}

// tellWindow calls window when the window opens and when it closes, or not any more once the context has ended.
func tellWindow(ctx context.Context, p *plan, window func(open bool)) {
	for _, open := range []bool{true, false} {
		at := p.wall.Add(p.spec.Warmup)
		if !open {
			at = at.Add(p.spec.Window)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(at)):
			window(open)
		}
	}
}

// loops is the number of event loops: half of the machine, so that the MX can have the other half.
func loops(sessions int) int { return max(1, min(sessions, runtime.NumCPU()/2)) }

// A tally is what one loop has seen.
type tally struct {
	acked, counted, failed int
	failure                string
	message, reply, first  []time.Duration
}

func (t *tally) fail(err error) {
	t.failed++
	if t.failure == "" {
		t.failure = err.Error()
	}
}

func (t *tally) add(o *tally) {
	t.acked += o.acked
	t.counted += o.counted
	t.failed += o.failed
	if t.failure == "" {
		t.failure = o.failure
	}
	t.message = append(t.message, o.message...)
	t.reply = append(t.reply, o.reply...)
	t.first = append(t.first, o.first...)
}

func (t *tally) result(window time.Duration) Result {
	return Result{
		Acked: t.acked, Counted: t.counted, Window: window, Failed: t.failed, Failure: t.failure,
		Message: quantiles(t.message), Reply: quantiles(t.reply), Session: quantiles(t.first),
	}
}

func quantiles(samples []time.Duration) Quantiles {
	if len(samples) == 0 {
		return Quantiles{}
	}
	slices.Sort(samples)
	return Quantiles{P50: samples[len(samples)/2], P99: samples[len(samples)*99/100]}
}
