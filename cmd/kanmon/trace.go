package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
)

type traceCommand struct {
	socketFlag
	sessionFlags
	Lines int `help:"End behind so many lines; default: go on." short:"n" placeholder:"NUMBER"`
}

// Run shows what is said, until it is interrupted. Who asks for nothing else is shown all sessions.
func (k *traceCommand) Run(c *console) error {
	if k.Lines < 0 {
		return fmt.Errorf("--lines %d: want a number from 1", k.Lines)
	}
	client, unread, err := k.client()
	if err != nil {
		return err
	}
	interrupted, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, enough := context.WithCancel(interrupted)
	defer enough()
	err = client.Trace(ctx, k.query(), &firstLines{c.stdout, k.Lines, enough})
	if errors.Is(err, errEnough) || ctx.Err() != nil {
		return nil
	}
	return unheard(err, unread)
}

// firstLines pass so many lines on, then no more; with 0 all.
type firstLines struct {
	to     io.Writer
	left   int
	enough func()
}

var errEnough = errors.New("all lines are there that were asked for")

func (w *firstLines) Write(p []byte) (int, error) {
	if w.left == 0 {
		return w.to.Write(p)
	}
	for rest := p; len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n') + 1
		if end == 0 {
			n, err := w.to.Write(rest)
			return len(p) - len(rest) + n, err
		}
		n, err := w.to.Write(rest[:end])
		if err != nil {
			return len(p) - len(rest) + n, err
		}
		rest = rest[end:]
		if w.left--; w.left == 0 {
			w.enough()
			return len(p) - len(rest), errEnough
		}
	}
	return len(p), nil
}
