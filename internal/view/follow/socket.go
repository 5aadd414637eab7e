package follow

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"kanmon/internal/view/history"
)

// History has one writer. Who imports or prunes meanwhile has it do that, over a socket in its folder: who may write to the folder may open it.

const (
	socketName = "history.sock"
	// requestTime is what a request may take: a batch is kept within seconds, taking away many days takes longer.
	requestTime = 10 * time.Minute
)

// serve answers who imports and who prunes, until ctx ends.
func (k *Keeper) serve(ctx context.Context) {
	path := filepath.Join(k.Dir, socketName)
	_ = os.Remove(path) // of a process that was killed: the store has one writer, this one
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err == nil {
		err = os.Chmod(path, 0o660)
	}
	if err != nil {
		k.Log.Error("nothing can be imported while this process runs", "error", err)
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /import", k.takeIn)
	mux.HandleFunc("POST /prune", func(w http.ResponseWriter, r *http.Request) {
		p, err := k.Prune(r.Context())
		reply(w, p, err)
	})
	server := &http.Server{Handler: mux, ReadTimeout: requestTime, WriteTimeout: requestTime, BaseContext: func(net.Listener) context.Context { return ctx }}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		k.Log.Error("nothing can be imported any more while this process runs", "error", err)
	}
}

// takeIn keeps lines that somebody imports.
func (k *Keeper) takeIn(w http.ResponseWriter, r *http.Request) {
	b := batch{gateways: k.Gateways}
	lines := bufio.NewReaderSize(http.MaxBytesReader(w, r.Body, mostOctets+2*mostLine), readBuffer)
	t := &text{in: lines}
	for {
		line, err := t.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, errTooLong) {
			reply(w, nil, err)
			return
		}
		_ = b.add(line, err) // who imports has told of it
	}
	err := k.room()
	if err == nil {
		err = k.Store.Add(r.Context(), b.lines, "", history.Mark{})
	}
	reply(w, struct{}{}, err)
}

func reply(w http.ResponseWriter, answer any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // who has asked is gone
}

// A Remote is the process that keeps the history of a folder.
type Remote struct{ client http.Client }

// NewRemote speaks to the process that keeps the history of a folder.
func NewRemote(dir string) *Remote {
	path := filepath.Join(dir, socketName)
	return &Remote{http.Client{Timeout: requestTime, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}}}
}

// Keep has lines kept.
func (r *Remote) Keep(ctx context.Context, lines []history.Line) error {
	var all bytes.Buffer
	for _, l := range lines {
		all.Write(l.Raw)
		all.WriteByte('\n')
	}
	return r.ask(ctx, "/import", &all, &struct{}{})
}

// Prune has what is old taken away.
func (r *Remote) Prune(ctx context.Context) (p history.Pruned, err error) {
	return p, r.ask(ctx, "/prune", nil, &p)
}

func (r *Remote) ask(ctx context.Context, what string, body io.Reader, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://history"+what, body)
	if err != nil {
		return err
	}
	answer, err := r.client.Do(request)
	if err != nil {
		return fmt.Errorf("the process that keeps history does not answer: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(answer.Body, 4096))
		return fmt.Errorf("the process that keeps history: %s", bytes.TrimSpace(why))
	}
	return json.NewDecoder(answer.Body).Decode(into)
}
