package check

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A Service is what systemd says of kanmon's unit.
type Service struct {
	Unit      string // "kanmon.service"
	Active    bool
	PID       int // 0: it does not run
	User      string
	Config    string   // that it is started with; "": not seen
	FileLimit uint64   // LimitNOFILE, the hard one
	Ambient   []string // capabilities
	ReadOnly  bool     // it may write in its own folders and in ReadWrite alone
	ReadWrite []string
	HidesHome bool
	State     []string         // names of folders below /var/lib, and so on
	Logs      []string         // below /var/log
	Runtime   []string         // below /run
	Sockets   []netip.AddrPort // that kanmon.socket opens, if it is enabled
	RulesOn   bool             // kanmon-rules.service is active
}

// Folders are those that systemd makes for the unit.
func (s *Service) Folders() (list []string) {
	for base, names := range map[string][]string{"/run": s.Runtime, "/var/lib": s.State, "/var/log": s.Logs} {
		for _, name := range names {
			list = append(list, filepath.Join(base, name))
		}
	}
	slices.Sort(list)
	return list
}

// makes reports whether systemd makes a folder for the unit before it starts.
func (s *Service) makes(folder string) bool { return s != nil && slices.Contains(s.Folders(), folder) }

const (
	serviceUnit = "kanmon.service"
	socketUnit  = "kanmon.socket"
	rulesUnit   = "kanmon-rules.service"
)

// Systemd asks systemd. A host that has no such unit gives none.
func Systemd(ctx context.Context) (*Service, error) {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return nil, errors.New("systemd does not run here: limits and privileges are those of this process")
	}
	unit, err := show(ctx, serviceUnit)
	if err != nil {
		return nil, err
	}
	if unit["LoadState"] != "loaded" {
		return nil, errors.New("there is no kanmon.service: limits and privileges are those of this process")
	}
	s := parseService(unit)
	if socket, err := show(ctx, socketUnit); err == nil && (socket["ActiveState"] == "active" || socket["UnitFileState"] == "enabled") {
		s.Sockets = parseListen(socket["Listen"])
	}
	if rules, err := show(ctx, rulesUnit); err == nil {
		s.RulesOn = rules["ActiveState"] == "active"
	}
	return s, nil
}

// show returns the properties of a unit; several values of one are joined by a space.
func show(ctx context.Context, unit string) (map[string]string, error) {
	cmd := exec.CommandContext(ctx, "systemctl", "show", unit, "--property=LoadState,ActiveState,UnitFileState,MainPID,User,LimitNOFILE,AmbientCapabilities,"+
		"ProtectSystem,ProtectHome,ReadWritePaths,StateDirectory,LogsDirectory,RuntimeDirectory,Listen,ExecStart")
	text, err := cmd.Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) && len(failed.Stderr) > 0 {
			err = errors.New(strings.TrimSpace(string(failed.Stderr)))
		}
		return nil, fmt.Errorf("systemctl show %s: %w", unit, err)
	}
	return parseShow(string(text)), nil
}

func parseShow(text string) map[string]string {
	properties := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			if earlier := properties[key]; earlier != "" {
				value = earlier + " " + value
			}
			properties[key] = value
		}
	}
	return properties
}

func parseService(unit map[string]string) *Service {
	s := &Service{
		Unit:      serviceUnit,
		Active:    unit["ActiveState"] == "active",
		Config:    configIn(unit["ExecStart"]),
		User:      unit["User"],
		Ambient:   strings.Fields(strings.ToLower(unit["AmbientCapabilities"])),
		ReadOnly:  unit["ProtectSystem"] == "strict",
		ReadWrite: strings.Fields(unit["ReadWritePaths"]),
		HidesHome: unit["ProtectHome"] == "yes" || unit["ProtectHome"] == "tmpfs",
		State:     strings.Fields(unit["StateDirectory"]),
		Logs:      strings.Fields(unit["LogsDirectory"]),
		Runtime:   strings.Fields(unit["RuntimeDirectory"]),
	}
	s.PID, _ = strconv.Atoi(unit["MainPID"])
	if s.FileLimit, _ = strconv.ParseUint(unit["LimitNOFILE"], 10, 64); unit["LimitNOFILE"] == "infinity" {
		s.FileLimit = unlimited
	}
	return s
}

// configIn finds the file in "{ path=… ; argv[]=/usr/bin/kanmon run --config /etc/kanmon/kanmon.toml ; … }".
func configIn(command string) string {
	fields := strings.Fields(command)
	for i, field := range fields {
		if (field == "--config" || field == "-c") && i+1 < len(fields) {
			return fields[i+1]
		}
		if path, found := strings.CutPrefix(field, "--config="); found {
			return path
		}
	}
	return ""
}

// parseListen reads "127.0.0.1:10025 (Stream) [::1]:10025 (Stream)".
func parseListen(text string) (list []netip.AddrPort) {
	for _, field := range strings.Fields(text) {
		if a, err := netip.ParseAddrPort(field); err == nil {
			list = append(list, netip.AddrPortFrom(a.Addr().Unmap(), a.Port()))
		}
	}
	return list
}
