package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

type versionCommand struct{}

// Run prints what the program was built from.
func (*versionCommand) Run(c *console) error {
	_, err := fmt.Fprintln(c.stdout, describeBuild(buildInfo()))
	return err
}

// release is the version under which this program is published. The build sets it: -ldflags "-X main.release=1.2.3".
var release string

// buildInfo is what the build has noted. Without a release the version is what the toolchain has made of the commit.
func buildInfo() *debug.BuildInfo {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	info.Main.Version = cmp.Or(release, info.Main.Version)
	return info
}

// describeBuild names the version, the commit and the toolchain, as far as the build has noted them.
func describeBuild(info *debug.BuildInfo) string {
	version := info.Main.Version
	if version == "" {
		version = "(unknown)"
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	parts := []string{"kanmon " + version}
	if revision := settings["vcs.revision"]; revision != "" {
		if settings["vcs.modified"] == "true" {
			revision += " with changes"
		}
		parts = append(parts, "commit "+revision)
	}
	if at := settings["vcs.time"]; at != "" {
		parts = append(parts, at)
	}
	return strings.Join(append(parts, runtime.Version()), ", ")
}

// builtAt is when the commit was made that the build has noted: no clock that is right shows less. The zero time: it has noted none.
func builtAt(info *debug.BuildInfo) (at time.Time) {
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			at, _ = time.Parse(time.RFC3339, s.Value)
		}
	}
	return at
}
