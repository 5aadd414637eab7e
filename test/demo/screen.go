package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// paint colours text, on a terminal only.
type paint struct{ on bool }

func newPaint(out *os.File) paint {
	_, err := unix.IoctlGetTermios(int(out.Fd()), unix.TCGETS)
	return paint{on: err == nil && os.Getenv("NO_COLOR") == ""}
}

func (p paint) in(colour, text string) string {
	if !p.on {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	blue   = "34"
	cyan   = "36"
)

// colourOf tells apart what goes to the MSA, what goes to the MX, and what ends at kanmon or begins there.
var colourOf = map[string]string{"<-": green, "->": blue, "|<": yellow, "|>": cyan, ">|": red, "--": dim}

func (p paint) picture() string {
	return fmt.Sprintf(`
  tenants                  the gateway                                             the Internet

  msa1 10.20.1.10 ──┐                         ┌─ 203.0.113.10 out10.example ─┐   ┌── mx1 198.51.100.21  a tarpit: %s a character
                    ├── nft redirect ─ %s ┤                              ├───┤
  msa2 10.20.2.10 ──┘                         └─ 203.0.113.11 out11.example ─┘   └── mx2 198.51.100.22  Postfix with STARTTLS

                                          (and the same over IPv6)

  %s to the MSA   %s to the MX   %s from the MX, ended at kanmon   %s made by kanmon   %s from the MSA, ended at kanmon
`, tarpitPace, p.in(bold, "kanmon"), p.in(green, "<-"), p.in(blue, "->"), p.in(yellow, "|<"), p.in(cyan, "|>"), p.in(red, ">|"))
}

// A tail prints the lines of kanmon's session log as they are written, each with a letter for its session.
type tail struct {
	file    string
	paint   paint
	letters map[string]string // session id → letter
	reply   *entry            // a reply whose last line has not come; nil: none
}

// follow prints until ctx ends, and then what is there still.
func (t *tail) follow(ctx context.Context) {
	t.letters = map[string]string{}
	log, err := os.Open(t.file)
	for err != nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(20 * time.Millisecond):
			log, err = os.Open(t.file)
		}
	}
	defer func() { _ = log.Close() }()
	lines := bufio.NewReader(log)
	half := ""
	for last := false; ; {
		line, err := lines.ReadString('\n')
		half += line
		switch {
		case err == nil:
			t.print(parse(half))
			half = ""
		case err != io.EOF || last:
			return
		default:
			select {
			case <-ctx.Done():
				last = true
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
}

// An entry is a line of the session log, or a whole reply of several lines.
type entry struct{ clock, session, elapsed, mark, text string }

// parse takes a line apart: time, session, elapsed, mark, text.
func parse(line string) entry {
	fields := strings.Fields(line)
	if len(fields) < 5 {
		return entry{text: strings.TrimSpace(line)}
	}
	e := entry{clock: fields[0], session: fields[1], mark: fields[3], text: strings.Join(fields[4:], " ")}
	if _, clock, ok := strings.Cut(fields[0], "T"); ok {
		e.clock = clock[:min(len(clock), len("15:04:05.000"))]
	}
	if fields[2] != "-" {
		e.elapsed = fields[2] + " ms"
	}
	return e
}

// print shows an entry. The lines of a reply of several are gathered and shown as one.
func (t *tail) print(e entry) {
	switch {
	case t.reply != nil && t.reply.session == e.session && t.reply.mark == e.mark:
		t.reply.text += " · " + strings.TrimSpace(e.text[min(4, len(e.text)):])
		if !continued(e) {
			t.show(*t.reply)
			t.reply = nil
		}
	case continued(e):
		t.reply = &e
	default:
		t.show(e)
	}
}

// continued says whether more lines of the same reply follow (RFC 5321 §4.2.1).
func continued(e entry) bool {
	return (e.mark == "<-" || e.mark == "|<") && len(e.text) > 3 && e.text[3] == '-'
}

// longest is how many characters of a text are shown.
const longest = 124

func (t *tail) show(e entry) {
	if text := []rune(e.text); len(text) > longest {
		e.text = string(text[:longest-1]) + "…"
	}
	fmt.Printf("  %s  %s %s  %s %s\n", t.paint.in(dim, e.clock), t.paint.in(bold, t.letter(e.session)),
		t.paint.in(dim, fmt.Sprintf("%22s", e.elapsed)), t.paint.in(colourOf[e.mark], e.mark), e.text)
}

// letter names a session: A for the first, B for the second.
func (t *tail) letter(session string) string {
	if t.letters[session] == "" {
		t.letters[session] = string(rune('A' + len(t.letters)%26))
	}
	return t.letters[session]
}

func printSummary(p paint, log *tail, results []*result) {
	fmt.Printf("\n%s\n\n", p.in(bold, fmt.Sprintf("  %-8s %-27s %-17s %-14s %-32s %-20s %7s",
		"session", "message", "sending IP", "EHLO name", "TLS to the MX", "the MX's queue id", "took")))
	for _, r := range results {
		tls := p.in(yellow, fmt.Sprintf("%-32s", "none: not offered"))
		if r.record.TLS.State == "tls" {
			tls = p.in(green, fmt.Sprintf("%-32s", strings.TrimPrefix(r.record.TLS.Version, "TLS ")+" "+r.record.TLS.Cipher))
		}
		took := fmt.Sprintf("%5.2f s", r.took.Seconds())
		if r.took > time.Second {
			took = p.in(red, took)
		}
		fmt.Printf("  %-8s %-27s %-17s %-14s %s %-20s %s\n", log.letter(r.record.Session),
			fmt.Sprintf("msa%d → %s", r.msa+1, strings.TrimSuffix(r.to, ".example")),
			r.record.SendingIP, r.record.EHLO, tls, r.attempt.RemoteQueueID(), took)
	}
	fmt.Printf("\n  %d of %d delivered. The tarpit held one session; the others did not wait for it.\n", len(results), len(results))
}
