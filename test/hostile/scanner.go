package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"kanmon/test/netlab"
)

// scannerRole is an Rspamd that finds every message clean, a moment after it has read it.
const scannerRole = "scanner"

const (
	scannerAddress = "127.0.0.1:11333"
	scannerTime    = 2 * time.Millisecond
)

func scanner(in io.Reader, out io.Writer) error {
	var begin struct{}
	if err := json.NewDecoder(in).Decode(&begin); err != nil {
		return fmt.Errorf("read order: %w", err)
	}
	listener, err := net.Listen("tcp4", scannerAddress)
	if err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ping" {
			_, _ = io.WriteString(w, "pong\r\n")
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		time.Sleep(scannerTime)
		_, _ = io.WriteString(w, `{"is_skipped":false,"score":0.5,"required_score":15,"action":"no action","time_real":0.002,"symbols":{"R":{"score":0.5}}}`)
	})}
	go func() {
		_ = json.NewEncoder(out).Encode(begin)
		_, _ = io.Copy(io.Discard, in) // until the runner ends it
		_ = server.Close()
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (r *rig) startScanner() (err error) {
	if !r.conf.content {
		return nil
	}
	if r.scanner, err = netlab.StartRole(r.street.Gateway, scannerRole, struct{}{}); err == nil {
		err = r.scanner.Answers.Decode(new(struct{}))
	}
	return err
}
