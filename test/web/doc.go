// Package web looks at the page with a real browser: Debian's Chromium, without a window, driven by chromedp. In front of it is a real
// server with a real admin socket behind it. It is a module of its own: nothing that only the browser wants is among what kanmon is made of.
package web
