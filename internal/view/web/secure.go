package web

import (
	"bytes"
	"embed"
	"net/http"
	"time"

	"kanmon/internal/view/chart"
)

//go:embed static
var static embed.FS

// policy lets a browser load what this server has in its static files, and nothing else: whatever a stranger's text would do in a page, it has
// no script to do it with.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; " +
	"frame-ancestors 'none'; require-trusted-types-for 'script'"

// secured sets what each answer has.
func secured(next http.Handler, tls bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		if tls {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

// staticFiles are the style sheets and the scripts. They are of the program, and change with it: a browser asks each time.
func staticFiles() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServerFS(static))
	mux.HandleFunc("/static/chart.css", func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "chart.css", time.Time{}, bytes.NewReader(chart.Style))
	})
	return mux
}
