// Package pgtest runs a PostgreSQL server for tests: in a folder of its own, on a Unix socket, as a user without rights.
package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A Server is a PostgreSQL server.
type Server struct {
	dir, bin string
	as       *syscall.Credential // nil: whoever runs the test
	main     *exec.Cmd
	done     chan struct{}
	made     int
}

// binaries finds where the programs are: what test/setup/install.sh has unpacked, or what the host has.
func binaries() (string, error) {
	cache := os.Getenv("KANMON_TEST_CACHE")
	if cache == "" && os.Getenv("XDG_CACHE_HOME") != "" {
		cache = filepath.Join(os.Getenv("XDG_CACHE_HOME"), "kanmon-test")
	}
	if cache == "" {
		cache = "/var/cache/kanmon-test"
	}
	for _, root := range [...]string{filepath.Join(cache, "database"), "/"} {
		all, err := filepath.Glob(filepath.Join(root, "usr/lib/postgresql/*/bin/postgres"))
		if err != nil {
			return "", err
		}
		if len(all) > 0 {
			return filepath.Dir(slices.Max(all)), nil
		}
	}
	return "", errors.New("there is no PostgreSQL here: test/setup/install.sh unpacks one")
}

// Start starts a server, which is stopped with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	bin, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "kanmon-pg-") //nolint:usetesting // the path of a socket has to be short
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{dir: dir, bin: bin}
	t.Cleanup(func() {
		s.Kill(t)
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if os.Getuid() == 0 {
		s.as = unprivileged(t)
		if err := os.Chown(dir, int(s.as.Uid), int(s.as.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := s.command("initdb", "--pgdata", s.data(), "--username=kanmon", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	s.Resume(t)
	return s
}

func unprivileged(t testing.TB) *syscall.Credential {
	of, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.ParseUint(of.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(of.Gid, 10, 32)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(s.bin, name), args...)
	c.Dir = s.dir
	if libraries, _ := filepath.Glob(filepath.Join(s.bin, "../../../*-linux-gnu*")); !strings.HasPrefix(s.bin, "/usr/") { // unpacked, with libraries of its own
		c.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(libraries, ":"))
	}
	c.SysProcAttr = &syscall.SysProcAttr{Credential: s.as, Pdeathsig: syscall.SIGKILL}
	return c
}

// Resume starts the server again behind Kill, and waits until it answers.
func (s *Server) Resume(t testing.TB) {
	t.Helper()
	s.main = s.command("postgres", "-D", s.data(), "-k", s.dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=40", "-c", "shared_buffers=16MB",
		"-c", "unix_socket_permissions=0777")
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	s.main.Stdout, s.main.Stderr = log, log
	if err := errors.Join(s.main.Start(), log.Close()); err != nil {
		t.Fatal(err)
	}
	s.done = make(chan struct{})
	go func() {
		_ = s.main.Wait() // killed, it ends with an error
		close(s.done)
	}()
	deadline := time.Now().Add(time.Minute)
	for s.command("pg_isready", "-q", "-h", s.dir, "-d", "postgres").Run() != nil {
		time.Sleep(20 * time.Millisecond)
		select {
		case <-s.done: // of what was killed something may be left for a moment
			s.Resume(t)
			return
		default:
		}
		if time.Now().After(deadline) {
			said, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			t.Fatalf("the server does not answer:\n%s", said)
		}
	}
}

// Kill kills the server with SIGKILL, and all processes that it has.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	if s.main == nil {
		return
	}
	children := s.children(t)
	if err := s.main.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
	for _, pid := range children {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
	}
	<-s.done
	s.main = nil
}

// children are the processes that the server has begun.
func (s *Server) children(t testing.TB) (all []int) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil { // it has ended
			continue
		}
		var state string
		var parent int
		behind := string(text[strings.LastIndexByte(string(text), ')')+1:])
		if _, err := fmt.Sscan(behind, &state, &parent); err != nil || parent != s.main.Process.Pid {
			continue
		}
		if child, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			all = append(all, child)
		}
	}
	return all
}

// Freeze has the server and all that it does stand still; Thaw has it go on.
func (s *Server) Freeze(t testing.TB) { s.signal(t, syscall.SIGSTOP) }

// Thaw has it go on behind Freeze.
func (s *Server) Thaw(t testing.TB) { s.signal(t, syscall.SIGCONT) }

func (s *Server) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	for _, pid := range append(s.children(t), s.main.Process.Pid) {
		_ = syscall.Kill(pid, sig) // it may have ended
	}
}

// Database makes a database, and gives its URL.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	s.made++
	name := fmt.Sprintf("kanmon%d", s.made)
	s.Do(t, "postgres", "CREATE DATABASE "+name)
	return s.URL(name)
}

// URL is that of a database.
func (s *Server) URL(name string) string { return "postgres://kanmon@/" + name + "?host=" + s.dir }

// Do has the server do something in a database, and gives what it prints.
func (s *Server) Do(t testing.TB, database, sql string) string {
	t.Helper()
	out, err := s.command("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", s.dir, "-U", "kanmon", "-d", database, "-c", sql).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", sql, err, out)
	}
	return strings.TrimSpace(string(out))
}

// Socket is that of the server.
func (s *Server) Socket() string { return filepath.Join(s.dir, ".s.PGSQL.5432") }
