package main

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	time.Local = time.UTC // what the manual shows; before anything of the process may ask for the time
	testscript.Main(m, map[string]func(){"kanmon": main})
}

// The scripts run kanmon as an operator would. None of them needs a privilege or changes the host. They run beside each
// other: one in which kanmon runs has an address of its own, and not the default's port, which others check.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"serve-senders": serveSenders, "serve-troubled": serveTroubled},
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
			env.Setenv("KANMON_RULES_STATE", filepath.Join(env.WorkDir, ".rules"))
			return nil
		},
	})
}

func TestDescribeBuild(t *testing.T) {
	info := &debug.BuildInfo{
		Main: debug.Module{Version: "v1.2.3"},
		Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: "0123abcd"},
			{Key: "vcs.modified", Value: "true"},
			{Key: "vcs.time", Value: "2026-07-01T00:00:00Z"},
		},
	}
	want := "kanmon v1.2.3, commit 0123abcd with changes, 2026-07-01T00:00:00Z, go"
	if got := describeBuild(info); !strings.HasPrefix(got, want) {
		t.Errorf("%q, want %q…", got, want)
	}
	if got := builtAt(info); got.Unix() != 1782864000 {
		t.Errorf("built at %s", got)
	}
	if got := builtAt(&debug.BuildInfo{}); !got.IsZero() {
		t.Errorf("without information built at %s", got)
	}
	if got := describeBuild(&debug.BuildInfo{}); !strings.HasPrefix(got, "kanmon (unknown), go") {
		t.Errorf("without information: %q", got)
	}
}

func TestTheVersionOfAReleaseIsTheOneItIsPublishedUnder(t *testing.T) {
	release = "1.2.3+git20261129182000.0123abcd"
	defer func() { release = "" }()
	if got := describeBuild(buildInfo()); !strings.HasPrefix(got, "kanmon 1.2.3+git20261129182000.0123abcd, ") {
		t.Errorf("%q", got)
	}
}
