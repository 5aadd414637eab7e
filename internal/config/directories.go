package config

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
)

// Directories are those that the service manager gives a service (systemd.exec(5), RuntimeDirectory= and the like). What kanmon writes
// goes there unless the file says otherwise; where there is none, nothing is written that the file does not name.
type Directories struct {
	State   string // $STATE_DIRECTORY: databases
	Runtime string // $RUNTIME_DIRECTORY: the admin socket
	Logs    string // $LOGS_DIRECTORY: the record of sessions
}

// Off is what a path says in the file for what is not to be written.
const Off = "off"

// The directories of kanmon.service as it is shipped, and the admin socket in them.
const (
	serviceState   = "/var/lib/kanmon"
	serviceRuntime = "/run/kanmon"
	serviceLogs    = "/var/log/kanmon"
	socketName     = "admin.sock"

	// DefaultSocket is the admin socket of the shipped service.
	DefaultSocket = serviceRuntime + "/" + socketName
)

// GivenDirectories are those that this process was given.
func GivenDirectories() Directories {
	return Directories{given("STATE_DIRECTORY"), given("RUNTIME_DIRECTORY"), given("LOGS_DIRECTORY")}
}

// given takes the first directory of a list.
func given(variable string) string {
	first, _, _ := strings.Cut(os.Getenv(variable), ":")
	if !filepath.IsAbs(first) {
		return ""
	}
	return first
}

// ServiceDirectories are those that kanmon.service gives, for who judges or asks it from outside. Where no systemd runs, they are those
// of this process: whoever starts kanmon there does so from a place like this one.
func ServiceDirectories() Directories {
	if own := GivenDirectories(); own != (Directories{}) {
		return own
	}
	if HasSystemd() {
		return UsualDirectories()
	}
	return Directories{}
}

// UsualDirectories are those of kanmon.service as it is shipped.
func UsualDirectories() Directories {
	return Directories{serviceState, serviceRuntime, serviceLogs}
}

// HasSystemd reports whether this host has been booted with systemd, as sd_booted(3) does.
func HasSystemd() bool {
	info, err := os.Stat("/run/systemd/system")
	return err == nil && info.IsDir()
}

// completePaths puts what kanmon writes into the directories that there are, and takes the word for what is not to be written.
func (d *decoder) completePaths(cfg *Config) {
	for _, row := range []struct {
		key  string
		path *string
		dir  string
		file string
	}{
		{"standing.file", &cfg.Standing.File, d.dirs.State, "standing.db"},
		{"senders.file", &cfg.Senders.File, d.dirs.State, "senders.db"},
		{"tls_policy.store", &cfg.TLSPolicy.Store, d.dirs.State, "tls.db"},
		{"journal.records", &cfg.Journal.Records, d.dirs.Logs, "records.jsonl"},
		{"journal.session_log", &cfg.Journal.SessionLog, d.dirs.Logs, "session.log"},
		{"admin.socket", &cfg.Admin.Socket, d.dirs.Runtime, socketName},
	} {
		switch {
		case !d.has(row.key) && row.dir != "":
			*row.path = filepath.Join(row.dir, row.file)
		case *row.path == Off:
			*row.path = ""
			d.off = append(d.off, row.key)
		}
	}
}

// AdminSocket gives the admin socket of a running kanmon, as its file names it, or as the service has it. The error says why the file was
// not asked; the path is good all the same.
func AdminSocket(file string) (path string, err error) {
	path = DefaultSocket
	if dir := GivenDirectories().Runtime; dir != "" {
		path = filepath.Join(dir, socketName)
	}
	doc, err := os.ReadFile(file)
	if err != nil {
		return path, err
	}
	root, syntax := parseTree(file, doc)
	if syntax != nil { // somebody edits it, perhaps: the table alone may be whole
		if root, _ = parseTree(file, tableAlone(doc, "[admin]")); root == nil {
			return path, syntax
		}
	}
	// A file that is wrong elsewhere names the socket as well.
	if admin, found := root.members["admin"]; found && admin.value.members != nil {
		if socket, found := admin.value.members["socket"]; found && socket.value.text != "" {
			return socket.value.text, nil
		}
	}
	if syntax != nil {
		return path, syntax
	}
	return path, nil
}

// tableAlone gives the lines from a header to the next one.
func tableAlone(doc []byte, header string) (table []byte) {
	for line := range bytes.Lines(doc) {
		trimmed := bytes.TrimSpace(line)
		switch {
		case bytes.HasPrefix(trimmed, []byte(header)):
			table = append(table, line...)
		case bytes.HasPrefix(trimmed, []byte("[")) && table != nil:
			return table
		case table != nil:
			table = append(table, line...)
		}
	}
	return table
}
