package story

import (
	"context"
	"encoding/csv"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"kanmon/internal/admin"
	"kanmon/internal/event/journal"
	"kanmon/internal/view/history"
	"kanmon/internal/view/notes"
	"kanmon/internal/view/viewtest"
	"kanmon/internal/view/web"
)

// A page is what a person sees in a browser who may do everything.
type page struct{ http.Client }

// newPage serves a history as of a time.
func newPage(t *testing.T, store history.Store, shown journal.Mask, now time.Time) *page {
	t.Helper()
	dir := t.TempDir()
	book, err := notes.Open(filepath.Join(dir, "notes.db"))
	if err != nil {
		t.Fatal(err)
	}
	server, err := web.New(web.Options{
		Gateway: Tokyo, Admin: admin.NewClient(viewtest.Start(t).Socket), History: store, Shown: shown, Notes: book, May: web.Act, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return now }, Proxy: &web.Proxy{User: "X-User", Groups: "X-Groups", Roles: map[string]web.Role{"staff": web.Act}, UID: uint32(os.Getuid())}, //nolint:gosec // it is one
	})
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "web")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := errors.Join(server.Close(context.Background()), <-served, book.Close()); err != nil {
			t.Error(err)
		}
	})
	return &page{http.Client{Transport: transport}}
}

// get gives what is at a path; behind "?" of a path of a form stands what it is filled in with.
func (p *page) get(t *testing.T, method, path string) string {
	t.Helper()
	var body io.Reader
	if method == http.MethodPost {
		where, filled, _ := strings.Cut(path, "?")
		path, body = where, strings.NewReader(filled)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://kanmon.example"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-User", "mika")
	req.Header.Set("X-Groups", "staff")
	if body != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	answer, err := p.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s, %v\n%.2000s", method, path, answer.Status, err, text)
	}
	return string(text)
}

// A document is what a browser makes of a page.
type document struct {
	text  strings.Builder // of all of it, without what is cut at the ends of lines
	links []string
	wrong []string // what a stranger must not be able to bring in
}

func read(t *testing.T, page string) *document {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	d := new(document)
	for n := range root.Descendants() {
		switch n.Type {
		case html.TextNode:
			d.text.WriteString(n.Data)
		case html.CommentNode:
			d.wrong = append(d.wrong, "a comment: "+n.Data)
		case html.ElementNode:
			d.element(n)
		}
	}
	return d
}

func (d *document) element(n *html.Node) {
	src := ""
	for _, a := range n.Attr {
		value := strings.ToLower(strings.TrimSpace(a.Val))
		switch {
		case strings.HasPrefix(a.Key, "on"), a.Key == "style", a.Key == "srcdoc", strings.HasPrefix(value, "javascript:"), strings.HasPrefix(value, "data:"):
			d.wrong = append(d.wrong, n.Data+" "+a.Key+"="+a.Val)
		case a.Key == "src":
			src = a.Val
		case a.Key == "href" && n.Data == "a":
			d.links = append(d.links, a.Val)
		}
	}
	switch n.Data {
	case "script":
		if !strings.HasPrefix(src, "/static/") || n.FirstChild != nil {
			d.wrong = append(d.wrong, "script "+src)
		}
	case "img", "iframe", "object", "embed", "base", "style", "audio", "video":
		d.wrong = append(d.wrong, n.Data)
	}
}

// Hostile texts stand on the page as they are on record, and bring nothing into it but text. KANMON_HOSTILE=full looks at ten thousand, each by itself.
func TestHostileTextsAreTextOnThePage(t *testing.T) {
	n, each := 2000, 20 // mails, and of how many one is looked at by itself
	if os.Getenv("KANMON_HOSTILE") == "full" {
		n, each = 10_000, 1
	}
	end := monday.Add(time.Duration(n) * time.Second)
	store := keepHostile(t, n)
	p := newPage(t, store, journal.Mask{}, end)
	in := "from=" + url.QueryEscape(stamp(monday)) + "&to=" + url.QueryEscape(stamp(end))
	harmless := func(path string) *document {
		d := read(t, p.get(t, http.MethodGet, path))
		if len(d.wrong) > 0 {
			t.Errorf("%s: %q", path, d.wrong)
		}
		return d
	}
	for _, path := range []string{"/refusals?" + in, "/timeline?" + in, "/tenants/acme/history?" + in, "/providers/google?" + in, "/audit", "/about", "/"} {
		harmless(path)
	}
	seen := 0
	for next := "/attempts?" + in; next != ""; {
		d := harmless(next)
		next = ""
		for _, link := range d.links {
			if strings.HasPrefix(link, "/attempts?") && strings.Contains(link, "after=") {
				next = link
			}
			if strings.HasPrefix(link, "/mails/") {
				if seen++; seen%each == 0 {
					mailIsText(t, store, harmless(link), strings.TrimPrefix(link, "/mails/"))
				}
			}
		}
	}
	if seen != n {
		t.Errorf("the list has %d mails, want %d", seen, n)
	}
	for _, path := range []string{"/attempts.csv?" + in, "/refusals.csv?" + in, "/audit.csv?" + in} {
		lines, err := csv.NewReader(strings.NewReader(p.get(t, http.MethodGet, path))).ReadAll()
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, line := range lines {
			for _, cell := range line {
				if formula(cell) {
					t.Errorf("%s: a cell is a formula: %q", path, cell)
				}
			}
		}
	}
}

// mailIsText looks whether the page of a mail has the words of its replies and addresses, as they are on record.
func mailIsText(t *testing.T, store history.Store, d *document, mail string) {
	t.Helper()
	found, _, err := store.Attempts(t.Context(), history.Filter{Mail: mail}, history.Page{Limit: 1})
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %v, %v", mail, found, err)
	}
	text := d.text.String()
	for _, want := range []string{found[0].Reply.Text, found[0].Sender, found[0].Recipients[0].Address} {
		if !strings.Contains(text, want) {
			t.Errorf("%s: %q is not on the page", mail, want)
		}
	}
}
func stamp(at time.Time) string { return at.Format(time.RFC3339) }

// rows gives CSV as maps by the names of its columns.
func rows(t *testing.T, text string) (all []map[string]string) {
	t.Helper()
	lines, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(lines) == 0 {
		t.Fatalf("no CSV: %v\n%s", err, text)
	}
	for _, line := range lines[1:] {
		row := make(map[string]string)
		for i, cell := range line {
			row[lines[0][i]] = cell
		}
		all = append(all, row)
	}
	return all
}
