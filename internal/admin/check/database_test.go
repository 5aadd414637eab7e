package check

import (
	"context"
	"errors"
	"testing"

	"kanmon/internal/config"
)

func TestTheDatabaseOfHistoryIsAsked(t *testing.T) {
	cfg := &config.Config{History: config.History{On: true, Database: "postgres://kanmon@db.example/kanmon"}}
	look := func(context.Context) ([]Flaw, error) {
		return []Flaw{{"the server is PostgreSQL 13.9", "want version 14 or later"}}, errors.New("and then it was gone")
	}
	got := (&Database{cfg, look}).Run(t.Context())
	if len(got) != 2 || got[0].ID != "not-checked" || got[1].ID != "history-database" || got[1].What != "the server is PostgreSQL 13.9" || got[1].Cure != "want version 14 or later" {
		t.Errorf("%+v", got)
	}
	cfg.History.Database = ""
	if got := (&Database{cfg, look}).Run(t.Context()); len(got) > 0 {
		t.Errorf("history in files: %+v", got)
	}
}
