package main

import (
	"context"
	"errors"
	"net/http"
	"net/netip"

	"kanmon/internal/admin"
)

// EndSession ends those that there are; of one the MX has the message.
func (c *customers) EndSession(_ context.Context, session, _, _ string) (admin.SessionEnd, error) {
	switch session {
	case "64d9a07b2e1c8f35":
		return admin.SessionEnd{Session: session, Came: admin.SessionEnded}, nil
	case "64d9a07b2e1c9b00":
		return admin.SessionEnd{Session: session, Came: admin.SessionWaits}, nil
	case "64d9a07b2e1c9a44":
		return admin.SessionEnd{Session: session, Came: admin.SessionSoon}, nil
	}
	return admin.SessionEnd{}, &admin.Error{Status: http.StatusNotFound, Err: errors.New("session " + session + " does not run, or no more")}
}

// Try knows one MX, which refuses one sending IP.
func (c *customers) Try(_ context.Context, o admin.TryOrder, _ string) (admin.Try, error) {
	if o.Domain != "" {
		return admin.Try{}, &admin.Error{Status: http.StatusTooManyRequests, Err: errors.New("docomo was tried 20s ago, by bob: one try a minute, so again in 40s")}
	}
	return admin.Try{ID: o.MX.String(), MX: o.MX}, nil
}

// Tried gives what an MX has said: one says what no terminal should hear.
func (c *customers) Tried(mx string) (admin.Try, error) {
	listed := "554 5.7.1 203.0.113.11 is listed"
	if mx == "192.0.2.26" {
		listed += "\x1b[2J"
	}
	way := func(banner admin.TryStep, more ...admin.TryStep) []admin.TryStep {
		return append([]admin.TryStep{{Phase: "dial", Took: .021}, banner}, more...)
	}
	return admin.Try{
		ID: mx, At: at("12:00"), By: "bob", MX: netip.MustParseAddr("192.0.2.25"), Host: "mx1.docomo.example", Domain: "docomo.example", Provider: "docomo",
		Sender: "<bob@acme.example>", Recipient: "<taro@docomo.example>", Over: true,
		Dialogues: []admin.TryDialogue{
			{IP: netip.MustParseAddr("203.0.113.10"), EHLO: "out10.example.jp", State: admin.TryLetIn, TLS: "TLS 1.3, TLS_AES_128_GCM_SHA256", Steps: way(
				admin.TryStep{Phase: "banner", Took: .11, Code: 220, Reply: "220 mx1.docomo.example ESMTP"}, admin.TryStep{Phase: "ehlo", Took: .02, Code: 250, Reply: "250 ok"},
				admin.TryStep{Phase: "handshake", Took: .06}, admin.TryStep{Phase: "mail", Took: .02, Code: 250, Reply: "250 ok"}, admin.TryStep{Phase: "rcpt", Took: .31, Code: 250, Reply: "250 ok"},
			)},
			{IP: netip.MustParseAddr("203.0.113.11"), EHLO: "out11.example.jp", Stands: "suspended until 2026-07-01T13:00:00Z", State: admin.TryRefused, Steps: way(admin.TryStep{
				Phase: "banner", Took: 6.2, Code: 554, Reply: listed, Class: "ip_blocklisted", Scope: "ip",
				Meaning: "our sending IP is on a list", Advice: "ask the list what it has seen, end that, then have the IP taken off", Counts: true,
			})},
			{IP: netip.MustParseAddr("203.0.113.12"), EHLO: "out12.example.jp", State: admin.TryFailed, Ended: "no connection: dial: i/o timeout", Steps: []admin.TryStep{{Phase: "dial", Took: 30}}},
		},
		LeftOut: []admin.TryLeftOut{{IP: netip.MustParseAddr("2001:db8::10"), Why: "the MX's address is of the other family"}},
	}, nil
}
