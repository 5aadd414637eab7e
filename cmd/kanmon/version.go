package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

type versionCommand struct{}

// Run prints what the program was built from.
func (*versionCommand) Run(c *console) error {
	_, err := fmt.Fprintln(c.stdout, describeBuild(buildInfo()))
	return err
}

func buildInfo() *debug.BuildInfo {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info
	}
	return &debug.BuildInfo{}
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
