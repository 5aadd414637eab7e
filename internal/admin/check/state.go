package check

import (
	"context"
	"fmt"
	"os"
	"time"

	"kanmon/internal/store"
)

// inspectTime is what the look into one database may take.
const inspectTime = 30 * time.Second

// A database is a file of state, and the part of it that has a version.
type database struct{ key, path, part string }

// databases are those that there are already, and that this process has not open.
func (c *checker) databases() (list []database) {
	for _, d := range []database{
		{"standing.file", c.Config.Standing.File, "standing"},
		{"senders.file", c.Config.Senders.File, "policy"},
	} {
		if info, err := os.Stat(d.path); d.path != "" && !c.Host.inUse(d.path) && err == nil && info.Mode().IsRegular() && info.Size() > 0 && isDatabase(d.path) {
			list = append(list, d)
		}
	}
	return list
}

// versions: a file that a later kanmon has written is not read by this one.
func (c *checker) versions() {
	for _, d := range c.databases() {
		known, ok := c.Schemas[d.part]
		if !ok {
			continue
		}
		version := 0
		err := d.ask(c.ctx, fmt.Sprintf("SELECT coalesce(max(version), 0) FROM %s_schema", d.part), &version)
		if err == nil && version > known { // an error: another part's file, or one that is damaged, which is another check's
			c.find(stateNewer, d.key, fmt.Sprintf("%s is of a newer kanmon: it has schema %d, this one reads up to %d", d.path, version, known), "")
		}
	}
}

// whole: a damaged database. While kanmon runs it changes under the look, and kanmon has looked itself when it started.
func (c *checker) whole() {
	if c.serving() {
		return
	}
	for _, d := range c.databases() {
		verdict := ""
		switch err := d.ask(c.ctx, "PRAGMA quick_check(1)", &verdict); {
		case err != nil:
			c.find(stateWrong, d.key, fmt.Sprintf("%s cannot be read: %v", d.path, err), "")
		case verdict != "ok":
			c.find(stateWrong, d.key, fmt.Sprintf("%s is damaged: %s", d.path, verdict), "")
		}
	}
}

// ask asks a database for one value, and leaves no trace.
func (d database) ask(ctx context.Context, query string, value any) error {
	ctx, cancel := context.WithTimeout(ctx, inspectTime)
	defer cancel()
	return store.Peek(ctx, d.path, query, value)
}
