package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"

	benchmx "kanmon/test/bench/mx"
	"kanmon/test/traffic"
)

// evilRole is the process of all MXs of the attackers. An MX is as its kind of attack wants it, by its address.
const evilRole = "evil"

func evil(in io.Reader, out io.Writer) error {
	var begin struct{}
	if err := json.NewDecoder(in).Decode(&begin); err != nil {
		return fmt.Errorf("read order: %w", err)
	}
	certificate, err := benchmx.NewCertificate("mx." + evilZone)
	if err != nil {
		return err
	}
	for i, k := range kinds {
		addresses := []netip.Addr{evilAddress6(i)}
		for host := range evilHosts {
			addresses = append(addresses, evilAddress(i, byte(1+host)))
		}
		for _, address := range addresses {
			// Not one listener on all addresses: the honest MXs have some of them.
			listener, err := net.Listen("tcp", netip.AddrPortFrom(address, 25).String())
			if err != nil {
				return err
			}
			mx := &traffic.MX{Name: "mx." + evilDomain(i), Keywords: k.keywords, Behave: k.mx}
			if k.tls {
				mx.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, SessionTicketsDisabled: true}
			}
			go mx.Serve(listener)
		}
	}
	if err := json.NewEncoder(out).Encode(struct{}{}); err != nil {
		return fmt.Errorf("say that all listen: %w", err)
	}
	_, err = io.Copy(io.Discard, in)
	return err
}

// A behaviour is how an MX answers.
type behaviour func(v *traffic.Visit, step, line string) traffic.Answer

// toRcpt answers each RCPT with a text of as many lines as it has.
func toRcpt(text string) behaviour {
	return func(_ *traffic.Visit, step, _ string) traffic.Answer {
		if step == "RCPT" {
			return traffic.Answer{Text: text}
		}
		return traffic.Answer{}
	}
}

// waits lets a step wait; below 0 there is never an answer.
func waits(at string, wait time.Duration) behaviour {
	return func(_ *traffic.Visit, step, _ string) traffic.Answer {
		switch {
		case step != at:
			return traffic.Answer{}
		case wait < 0:
			return traffic.Answer{Then: traffic.Hang}
		}
		return traffic.Answer{Wait: wait, Text: "250 2.0.0 Ok"}
	}
}

// long is a reply of about so many octets.
func long(code, words string, octets int) string {
	line := code + "-" + strings.Repeat(words, 1+450/len(words))[:450]
	line = strings.ToValidUTF8(line, "")
	lines := max(1, octets/len(line))
	return strings.Repeat(line+"\r\n", lines) + code + " " + words
}

func closesAnywhere(_ *traffic.Visit, step, _ string) traffic.Answer {
	if step != "BODY" && rand.IntN(4) == 0 {
		return traffic.Answer{Text: "421 4.7.0 Try again later, closing connection", Then: traffic.Close}
	}
	return traffic.Answer{}
}

// listsUs names a list that has us.
func listsUs(v *traffic.Visit, step, _ string) traffic.Answer {
	if step == "RCPT" {
		return traffic.Answer{Text: fmt.Sprintf("550 5.7.1 Service unavailable; client host [%s] blocked using zen.spamhaus.org", v.Client)}
	}
	return traffic.Answer{}
}

// namesLists names another list each time, whose zone never answers.
func namesLists(v *traffic.Visit, step, _ string) traffic.Answer {
	if step == "RCPT" {
		return traffic.Answer{Text: fmt.Sprintf("550 5.7.1 client host [%s] is listed at bl%d.%s.%s, see http://bl.%s/", v.Client, rand.IntN(1<<20), listPart, evilZone, evilZone)}
	}
	return traffic.Answer{}
}

// newKeywords offers other extensions in each session.
func newKeywords(_ *traffic.Visit, step, _ string) traffic.Answer {
	if step != "EHLO" {
		return traffic.Answer{}
	}
	var text strings.Builder
	text.WriteString("250-mx\r\n")
	for range 100 {
		fmt.Fprintf(&text, "250-XTRA%d ON\r\n", rand.IntN(1<<30))
	}
	return traffic.Answer{Text: text.String() + "250 PIPELINING"}
}

// breaksTLS offers it, and hangs up at the hello.
func breaksTLS(_ *traffic.Visit, step, _ string) traffic.Answer {
	if step == "STARTTLS" {
		return traffic.Answer{Text: "220 2.0.0 Ready", Then: traffic.Close}
	}
	return traffic.Answer{}
}
