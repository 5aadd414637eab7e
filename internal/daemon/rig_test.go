package daemon

import (
	"testing"

	"kanmon/internal/config"
	"kanmon/internal/outlet/route"
	"kanmon/internal/smtp/smtptest"
)

// What tests make of a document: the parts of a daemon, without its files, DNS and listeners.

func configOf(t testing.TB, document string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("kanmon.toml", []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func routerOf(t testing.TB, cfg *config.Config) *route.Router {
	t.Helper()
	router, err := Router(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return router
}

// waitUntil waits for what happens in the background.
var waitUntil = smtptest.WaitUntil
