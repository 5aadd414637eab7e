package smtptest

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
)

// relay is a proxy that changes nothing.
func relay(msa, mx net.Conn) {
	done := make(chan struct{})
	pass := func(to, from net.Conn) {
		_, err := io.Copy(to, from)
		if errors.Is(err, syscall.ECONNRESET) {
			to.(*Conn).Reset()
		}
		_ = to.(*Conn).CloseWrite()
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
		t.Run(name, func(t *testing.T) { RunDialogue(t, "testdata/"+name+".txt", relay) })
	}
}

// terminate is a proxy that speaks TLS on both legs from the start.
func terminate(cert tls.Certificate) func(msa, mx net.Conn) {
	return func(msa, mx net.Conn) {
		client := tls.Client(mx, &tls.Config{InsecureSkipVerify: true})
		server := tls.Server(msa, &tls.Config{Certificates: []tls.Certificate{cert}})
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
			err := runDialogue("x", script, config, roots, terminate(c.cert))
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: got %v, want %q", name, err, c.want)
			}
		})
	}
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
		"sleep long":              "invalid duration",
		"close-msa\neof-mx\nC: x": "x: at the end: write",
	} {
		synctest.Test(t, func(t *testing.T) {
			err := runDialogue("x", script, nil, nil, relay)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("script %q\ngot:  %v\nwant: %s", script, err, want)
			}
		})
	}
}
