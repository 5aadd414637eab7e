package smtptest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
)

// relay is a proxy that changes nothing.
func relay(d *Dialogue) {
	msa, mx := d.MSA, d.Dial(context.Background()).Conn
	done := make(chan struct{})
	pass := func(to, from *Conn) {
		_, err := io.Copy(to, from)
		if errors.Is(err, syscall.ECONNRESET) {
			to.Reset()
		}
		_ = to.CloseWrite()
		done <- struct{}{}
	}
	go pass(msa, mx)
	go pass(mx, msa)
	<-done
	<-done
	_ = msa.Close()
	_ = mx.Close()
}

func TestRunDialogue(t *testing.T) {
	for _, name := range []string{"relay", "reset"} {
		t.Run(name, func(t *testing.T) { RunDialogue(t, "testdata/"+name+".txt", nil, relay) })
	}
}

// terminate is a proxy that speaks TLS on both legs from the start.
func terminate(cert tls.Certificate) func(*Dialogue) {
	return func(d *Dialogue) {
		client := tls.Client(d.Dial(context.Background()).Conn, &tls.Config{InsecureSkipVerify: true})
		server := tls.Server(d.MSA, &tls.Config{Certificates: []tls.Certificate{cert}})
		if client.Handshake() == nil && server.Handshake() == nil {
			_, _ = io.CopyN(server, client, 8)
		}
		_ = server.Close()
		_ = client.Close()
	}
}

func TestDialogueTLS(t *testing.T) {
	good, roots := Certificate(t, CertificateOptions{}), Roots(t)
	config := &tls.Config{Certificates: []tls.Certificate{good}}
	script := "tls-mx\ntls-msa\n< 220 go\nS: 220 go\neof-msa\neof-mx\n"
	for name, c := range map[string]struct {
		cert tls.Certificate
		want string
	}{
		"valid":       {good, ""},
		"self-signed": {Certificate(t, CertificateOptions{SelfSigned: true}), "x:2: tls-msa\nhandshake: tls: failed to verify certificate"},
		"wrong name":  {Certificate(t, CertificateOptions{Name: "mx.example.org"}), "not mx.example.net"},
		"expired":     {Certificate(t, CertificateOptions{Expired: true}), "expired"},
	} {
		synctest.Test(t, func(t *testing.T) {
			err := runDialogue("x", script, onlyListed, config, roots, terminate(c.cert))
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: got %v, want %q", name, err, c.want)
			}
		})
	}
}

func onlyListed(word, value string) error {
	if word == "class" && value != "listed" {
		return errors.New("want listed")
	}
	return nil
}

func TestDialogueFailures(t *testing.T) {
	for script, want := range map[string]string{
		"C: a\n> b":               "x:2: > b\nwant \"b\\r\\n\"\ngot  \"a\\r\\n\"",
		"c: a\\n\n> a":            "x:2: > a\nwant \"a\\r\\n\"\ngot  \"a\\n\"",
		"S: 220 x":                "got  \"\" and then read tcp 192.0.2.10:40025->198.51.100.25:25: i/o timeout",
		"C: a\neof-mx":            "x:2: eof-mx\nwant the end of the connection\ngot  \"a\\r\\n\"",
		"eof-mx":                  "x:1: eof-mx\nwant the end of the connection\ngot  read tcp",
		"C: a\n\n# c\nC: b\n> a":  "x: at the end: the MX has received what no line expects: \"b\\r\\n\"",
		"< 250":                   "the MSA has received what no line expects: \"250\\r\\n\"",
		"c: ab\n>> 3":             "x:2: >> 3\nwant 3 octets, got 2",
		"c: ab\n>> \\x61c":        "x:2: >> \\x61c\nwant \"ac\"\ngot  \"ab\"",
		"c: \\q":                  "bad escape at \"\\\\q\"",
		"D: x":                    "x:1: D: x\nnot a line of the dialogue language",
		"melt-mx":                 "not a line of the dialogue language",
		"sleep long":              "x:1: sleep long\ntime: invalid duration \"long\": want a time such as 10s or 5m",
		"C: a\nquiet 5s":          "x:2: quiet 5s\nthe MX: want nothing to come\ngot  \"a\\r\\n\"",
		"quiet 5":                 "x:1: quiet 5\ntime: missing unit in duration \"5\": want a time such as 10s or 5m",
		"close-mx4":               "want close-msa, close-mx, close-mx2 or close-mx3",
		"mx4> a":                  "x:1: mx4> a\nno leg \"mx4\": want < or > for the first, mx2< or mx2> for the second, mx3< or mx3> for the third",
		"mx> a":                   "no leg \"mx\": want < or > for the first",
		"mx2< 220":                "x:1: mx2< 220\nthe proxy has not connected from this sending IP: want a line \"dial: mx2\" before",
		"eof-mx3":                 "want a line \"dial: mx3\" before",
		"dial: mx2\ndial: mx":     "x:2: dial: mx\nwant to be asked \"dial:\"",
		"judge: rcpt => maybe":    "x:1: judge: rcpt => maybe\nno answer \"maybe\"; the judge can say: pass rescue soften soften_to= observe class= scope= rule= why= avoid=",
		"judge: rcpt =>":          "want an answer; the judge can say",
		"judge: pass rescue":      "pass is all there is to say, or not said",
		"judge: class":            "no answer \"class\"",
		"judge: avoid=mx9":        "no leg \"mx9\": want avoid=mx",
		"judge: why=\"none":       "a quote without an end: want why=\"…\"",
		"gate: defer reject":      "defer and reject: want one of them; the gate can say",
		"gate: delay=long":        "want delay=10s or delay=5m",
		"dial: mx mx2":            "mx and mx2: want one of them",
		"judge: class=none":       "x:1: judge: class=none\nwant listed; the judge can say",
		"told: mail":              "want who heard it, and what: told: gate rcpt 250",
		"close-msa\neof-mx\nC: x": "x: at the end: write",
	} {
		synctest.Test(t, func(t *testing.T) {
			err := runDialogue("x", script, onlyListed, nil, nil, relay)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("script %q\ngot:  %v\nwant: %s", script, err, want)
			}
		})
	}
}

// turning is a proxy that asks three times where to connect, tells what came of it, and relays from what came of the first.
func turning(d *Dialogue) {
	var last Call
	for n, words := range [][]string{{"from=a"}, {"rescue", "avoid=mx", "from=a"}, {"rescue", "avoid=mx,mx2", "from=a b"}} {
		last = d.Dial(context.Background(), words...)
		d.Tell(fmt.Sprintf("record %d %d %s", n, last.Leg, last.Failed))
		if last.Conn != nil && n < 2 {
			_, _ = io.WriteString(last.Conn, "QUIT\r\n")
			_ = last.Conn.Close()
		}
	}
	if last.Conn != nil {
		if answer := d.Ask("judge", "rcpt", "550", "to=c d"); answer.Has("rescue") {
			_, _ = io.WriteString(last.Conn, answer["why"]+"\r\n")
		}
		_ = last.Conn.Close()
	}
	_ = d.MSA.Close()
}

// Lines answer the questions that they are about, in any number of legs, and speak of news in its order.
func TestDialogueAnswers(t *testing.T) {
	for script, want := range map[string]string{
		"> QUIT\neof-mx\ndial: rescue avoid=mx => mx2\nmx2> QUIT\neof-mx2\ndial: from=\"a b\" => mx3\njudge: 550 to=\"c d\" => rescue why=\"so it is\"\nmx3> so it is\neof-mx3\neof-msa":        "",
		"> QUIT\neof-mx\ndial: mx\n> QUIT\neof-mx\ndial: mx\neof-mx\ntold: record 2 0 \nuntold: record 1 1 …\nuntold: judge …\ntold: asked dial: rescue avoid=mx from=a\nuntold: asked gate: …": "",
		"> QUIT\neof-mx\ndial: mx2 refused\ndial: none\ntold: record 1 1 refused\ntold: record 2 -1 none":                                                                                       "",
		"> QUIT\neof-mx\ntold: record 1 0 refused\ntold: record 2 0 refused":                                                                                                                    "",
		"dial: mx\ndial: mx":                                 "x:2: dial: mx\nthe connection before from this sending IP has not ended: want eof-mx or close-mx before",
		"> QUIT\neof-mx\njudge: pass":                        "x:3: judge: pass\nwant to be asked \"judge:\"\nasked so far, and answered by no line: dial: from=a; dial: rescue avoid=mx from=a; dial: rescue avoid=mx,mx2 from=\"a b\"",
		"> QUIT\neof-mx\ntold: record 2 …\ntold: record 1 …": "x:4: told: record 1 …\nwant the news \"record 1 …\"\ngot  [\"record 0 0 \" \"record 1 0 refused\" \"record 2 0 refused\"]",
		"> QUIT\neof-mx\nuntold: record 1 …":                 "want no such news\ngot  \"record 1 0 refused\"",
		"> QUIT\neof-mx\ndial: mx2":                          "x: at the end: the MX2 has received what no line expects: \"QUIT\\r\\n\"",
	} {
		synctest.Test(t, func(t *testing.T) {
			err := runDialogue("x", script, onlyListed, nil, nil, turning)
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("script %q\ngot:  %v\nwant: %s", script, err, want)
			}
		})
	}
}
