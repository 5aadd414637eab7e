package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"kanmon/test/netlab"
)

const config = `
[intercept]
mode         = "redirect"
listen       = ["0.0.0.0:10025", "[::]:10025"]
sources      = ["10.20.0.0/16", "fd20::/32"]
mark         = 0x2525

[[sending_ip]]
address = "203.0.113.10"
ehlo    = "out10.example"

[[sending_ip]]
address = "203.0.113.11"
ehlo    = "out11.example"

[[sending_ip]]
address = "2001:db8:71::10"
ehlo    = "out10.example"

[[sending_ip]]
address = "2001:db8:71::11"
ehlo    = "out11.example"
`

// tarpitPace is what the tarpit lets its clients wait for each character. The paper's experiment used 250 ms.
const tarpitPace = 40 * time.Millisecond

// A stage is the lab with everything running.
type stage struct {
	msas   []*netlab.Postfix
	kanmon *netlab.Kanmon
}

func build(ctx context.Context, lab *netlab.Lab) (*stage, error) {
	world, err := netlab.NewOutbound(lab, netlab.OutboundOptions{Tenants: 2, MXs: 2})
	if err != nil {
		return nil, err
	}
	tarpit := &netlab.SlowMX{Name: netlab.MXName(1), PerByte: tarpitPace}
	if err := tarpit.Serve(world.MXs[0]); err != nil {
		return nil, err
	}
	if _, err := netlab.NewPostfix(world.MXs[1], netlab.PostfixOptions{
		Role: netlab.MX, Hostname: netlab.MXName(2), TLS: "may",
	}); err != nil {
		return nil, err
	}
	s := &stage{}
	for _, host := range world.MSAs {
		msa, err := netlab.NewPostfix(host, netlab.PostfixOptions{Role: netlab.MSA, Hostname: host.Name + ".example"})
		if err != nil {
			return nil, err
		}
		s.msas = append(s.msas, msa)
	}
	if s.kanmon, err = netlab.NewKanmon(world.Gateway, config); err != nil {
		return nil, err
	}
	if err := s.kanmon.Configure(config + pageConfig(s.kanmon)); err != nil {
		return nil, err
	}
	if _, err := s.kanmon.Rules("apply"); err != nil {
		return nil, err
	}
	return s, errors.Join(s.kanmon.Start(), ctx.Err())
}

// beat parts the messages, so that the log can be read.
const beat = 700 * time.Millisecond

// A result is a message and what became of it.
type result struct {
	msa     int // index
	to      string
	size    int           // octets of the body, roughly
	after   time.Duration // when to send it
	attempt netlab.Attempt
	took    time.Duration // MSA took it → MSA logged it as sent
	record  record
}

// A record is what the demo reads of kanmon's records.
type record struct {
	Type      string `json:"type"`
	Session   string `json:"session"`
	SendingIP string `json:"sending_ip"`
	EHLO      string `json:"ehlo_mx"`
	TLS       struct {
		State   string `json:"state"`
		Version string `json:"version"`
		Cipher  string `json:"cipher"`
	} `json:"tls_mx"`
	Recipients []struct {
		Address string `json:"address"`
	} `json:"recipients"`
	Outcome string `json:"outcome"`
}

// send submits one message for each of the places and waits until all are delivered.
func (s *stage) send(ctx context.Context) ([]*result, error) {
	results := []*result{
		{msa: 0, to: "alice@" + netlab.Domain(2, false), after: 1 * beat},
		{msa: 1, to: "bob@" + netlab.Domain(2, false), after: 2 * beat},
		{msa: 0, to: "carol@" + netlab.Domain(2, true), after: 3 * beat, size: 5 << 20},
		{msa: 1, to: "dave@" + netlab.Domain(2, true), after: 4 * beat},
		{msa: 1, to: "erin@" + netlab.Domain(1, false)}, // held by the tarpit from the beginning on
	}
	failed := make(chan error, len(results))
	for _, r := range results {
		go func() {
			select {
			case <-time.After(r.after):
				failed <- s.sendOne(ctx, r)
			case <-ctx.Done():
				failed <- ctx.Err()
			}
		}()
	}
	var errs []error
	for range results {
		errs = append(errs, <-failed)
	}
	return results, errors.Join(errs...)
}

func (s *stage) sendOne(ctx context.Context, r *result) error {
	msa := s.msas[r.msa]
	from := "news@" + msa.Options.Hostname
	line := strings.Repeat("x", 70) + "\r\n"
	message := fmt.Sprintf("From: %s\r\nTo: %s\r\nSubject: Demo\r\n\r\nThrough the gate.\r\n%s", from, r.to, strings.Repeat(line, r.size/len(line)))
	began := time.Now()
	if _, err := msa.Submit(from, []string{r.to}, []byte(message)); err != nil {
		return err
	}
	var err error
	r.attempt, err = msa.WaitStatus(ctx, r.to, "sent")
	r.took = time.Since(began)
	return err
}

// awaitRecords waits for kanmon's record of each message, and of the end of its session.
func (s *stage) awaitRecords(ctx context.Context, results []*result) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		missing := 0
		for _, r := range results {
			if !r.find(s.kanmon.Records()) {
				missing++
			}
		}
		if missing == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d messages have no record: %w", missing, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (r *result) find(records string) bool {
	lines := json.NewDecoder(bytes.NewReader([]byte(records)))
	for {
		var candidate record
		if err := lines.Decode(&candidate); err != nil {
			return false // the end, or a line that is being written
		}
		if candidate.Type == "session" && candidate.Session == r.record.Session {
			return true
		}
		for _, recipient := range candidate.Recipients {
			if recipient.Address == r.to {
				r.record = candidate
			}
		}
	}
}
