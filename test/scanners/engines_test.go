package scanners

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/policy/inspect"
	"kanmon/internal/policy/inspect/clamd"
	"kanmon/internal/policy/inspect/milter"
	"kanmon/internal/policy/inspect/rspamd"
	"kanmon/test/netlab"
)

// startTime is how long a scanner may take until it listens. Rspamd reads much, on a machine that has other work.
const startTime = 60 * time.Second

var here = netip.MustParseAddr("127.0.0.1")

// dial connects from the scanners' host: by TCP, or to a Unix socket of the image.
func dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	if network == "unix" {
		err = world.host.Do(func() error {
			conn, err = net.Dial("unix", world.image.Path(address))
			return err
		})
		return conn, err
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	within := 10 * time.Second
	if end, is := ctx.Deadline(); is {
		within = time.Until(end)
	}
	return world.host.DialFrom(here, to, within)
}

// A program is a scanner that runs.
type program struct {
	*netlab.Process
	port int
}

var lastPort atomic.Int32

func newPort() int { return 20_000 + int(lastPort.Add(1)) }

// start starts a program of the image, and waits until it listens. It is ended with the test, whatever state it is in.
func start(t *testing.T, name string, port int, args ...string) *program {
	t.Helper()
	process, err := world.host.Start(netlab.Command{
		Name: fmt.Sprintf("%s-%d", name, port), Args: append([]string{"/usr/sbin/chroot", world.image.Path("/")}, args...),
	})
	must(t, err)
	p := &program{process, port}
	t.Cleanup(func() {
		if t.Failed() {
			log := strings.Split(p.Log(), "\n")
			t.Logf("%s:\n%s", name, strings.Join(log[max(0, len(log)-30):], "\n"))
		}
		p.Kill()
	})
	must(t, world.host.WaitListening(port, startTime))
	return p
}

// pause stops all of a program's processes, and resume has them go on.
func (p *program) pause(t *testing.T) { t.Helper(); must(t, syscall.Kill(-p.PID(), syscall.SIGSTOP)) }

func (p *program) resume(t *testing.T) { t.Helper(); must(t, syscall.Kill(-p.PID(), syscall.SIGCONT)) }

func write(t *testing.T, file, content string) {
	t.Helper()
	must(t, world.image.Write(file, content))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A setup is how an Rspamd is configured beside what all have.
type setup struct {
	options  string // lines of options {}
	worker   string // lines of worker normal {}
	settings string // of settings {}; "": those with the id "outbound"
	bare     bool   // without kanmon.lua
	unix     string // where it listens as well
}

const outbound = `outbound { id = "outbound"; apply { actions { reject = 10; "add header" = 6; } } }`

// startRspamd starts an Rspamd: a worker at its port, and one that speaks milter at the next one.
func startRspamd(t *testing.T, s setup) *program {
	t.Helper()
	port := newPort()
	proxy := newPort()
	dir := fmt.Sprintf("/etc/rspamd-%d", port)
	lua := rules
	if !s.bare {
		lua += rspamd.Echo
	}
	if s.settings == "" {
		s.settings = outbound
	}
	if s.unix != "" {
		s.worker += fmt.Sprintf("bind_socket = \"%s mode=0666\";\n", s.unix)
	}
	write(t, dir+"/tld.dat", "com\nnet\norg\njp\nexample\n")
	write(t, dir+"/rules.lua", lua)
	write(t, dir+"/rspamd.conf", fmt.Sprintf(`
		options {
			filters = "regexp";
			url_tld = "%[1]s/tld.dat";
			pidfile = "%[1]s/pid";
			dns { nameserver = ["127.0.0.1"]; timeout = 0.2s; retransmits = 1; }
			%[2]s
		}
		logging { type = "console"; level = "notice"; }
		actions { reject = 15; add_header = 6; greylist = 4; }
		worker "normal" { bind_socket = "127.0.0.1:%[4]d"; %[3]s }
		worker "rspamd_proxy" { bind_socket = "127.0.0.1:%[5]d"; milter = yes; count = 1; timeout = 30s; upstream "local" { default = yes; self_scan = yes; } }
		settings { %[6]s }
		modules { path = "/usr/share/rspamd/plugins/"; }
		lua = "%[1]s/rules.lua";
		`, dir, s.options, s.worker, port, proxy, s.settings))
	p := start(t, "rspamd", port, "/usr/bin/rspamd", "-f", "-i", "-c", dir+"/rspamd.conf")
	must(t, world.host.WaitListening(proxy, startTime))
	e := p.rspamd(t, rspamd.Settings{})
	until(t, startTime, "it answers", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		return e.Ping(ctx) == nil
	})
	return p
}

// rspamd is an Engine that asks it by HTTP.
func (p *program) rspamd(t *testing.T, s rspamd.Settings) *rspamd.Engine {
	t.Helper()
	if s.Address == "" {
		s.Address = fmt.Sprintf("http://127.0.0.1:%d", p.port)
	}
	s.Dial = dial
	e, err := rspamd.New(s)
	must(t, err)
	return e
}

// milter is an Engine that asks a filter, such as that of an Rspamd, which is at the next port.
func milterAt(t *testing.T, port int) *milter.Engine {
	t.Helper()
	e, err := milter.New(fmt.Sprintf("tcp://127.0.0.1:%d", port), dial)
	must(t, err)
	return e
}

// rules are what these Rspamds judge by: fields of the message say what it is to come to.
const rules = `
local util = require "rspamd_util"
local hash = require "rspamd_cryptobox_hash"
local function rule(name, field, callback)
  rspamd_config:register_symbol({ name = name, score = 1.0, callback = function(task)
    local value = task:get_header(field)
    if value then return callback(task, value) end
  end })
end
rule('TEST_SCORE', 'X-Test-Score', function(_, value) return true, tonumber(value) end)
rule('TEST_SOFT', 'X-Test-Soft', function(task) task:set_pre_result('soft reject', 'later') end)
rule('TEST_FAIL', 'X-Test-Fail', function() return true, 0.0 end)
rule('TEST_RCPTS', 'X-Test-Rcpts', function(task) return true, #(task:get_recipients('smtp') or {}) end)
rule('TEST_USER', 'X-Test-Rcpts', function(task) return true, #(task:get_user() or '') end)
rule('TEST_FROM', 'X-Test-Rcpts', function(task) return true, #(task:get_from('smtp') or {}) end)
rule('TEST_BUSY', 'X-Test-Busy', function(_, value)
  local ends = util.get_time() + tonumber(value)
  while util.get_time() < ends do end
end)
rule('TEST_OCTETS', 'X-Test-Octets', function(task)
  return true, tonumber(hash.create_specific('sha256', task:get_content()):hex():sub(1, 6), 16)
end)
`

// points are those of a symbol; -1: it is not among those kept.
func points(s event.Scan, symbol string) float64 {
	for _, one := range s.Symbols {
		if one.Name == symbol {
			return one.Points
		}
	}
	return -1
}

// octets is what TEST_OCTETS gives for a message.
func octets(message string) float64 {
	sum := sha256.Sum256([]byte(message))
	return float64(int(sum[0])<<16 | int(sum[1])<<8 | int(sum[2]))
}

// eicar is the test file that scanners of viruses know, kept so that no scanner finds it here.
const eicar = "58354f2150254041505b345c505a58353428505e2937434329377d2445494341522d5354414e444152442d414e544956495255532d544553542d46494c452124482b482a"

// startClamd starts a clamd with the signature of that file, and with what further databases say.
func startClamd(t *testing.T, options string, databases map[string]string) *program {
	t.Helper()
	port := newPort()
	dir := fmt.Sprintf("/etc/clamd-%d", port)
	write(t, dir+"/db/test.ndb", "Test.EICAR:0:0:"+eicar+"\n")
	for name, content := range databases {
		write(t, path.Join(dir, "db", name), content)
	}
	write(t, dir+"/clamd.conf", fmt.Sprintf("Foreground yes\nUser root\nDatabaseDirectory %[1]s/db\nTCPSocket %[2]d\nTCPAddr 127.0.0.1\n"+
		"LocalSocket %[1]s/ctl\nTemporaryDirectory /tmp\nLogVerbose yes\n%[3]s\n", dir, port, options))
	return start(t, "clamd", port, "/usr/sbin/clamd", "--config-file="+dir+"/clamd.conf")
}

func (p *program) clamd(t *testing.T) *clamd.Engine {
	t.Helper()
	e, err := clamd.New(fmt.Sprintf("tcp://127.0.0.1:%d", p.port), dial)
	must(t, err)
	return e
}

// virus is the test file itself.
func virus(t *testing.T) string {
	t.Helper()
	text, err := hex.DecodeString(eicar)
	must(t, err)
	return string(text)
}

// mail is a message of a tenant's account.
func mail(text string) *inspect.Mail {
	return &inspect.Mail{
		ID: "1", Tenant: "tenant", Account: "account@tenant.example", Source: netip.MustParseAddr("198.51.100.7"), Helo: "msa.tenant.example",
		Sender: "account@tenant.example", Recipients: []string{"one@mx.example", "two@mx.example"}, SendingIP: netip.MustParseAddr("203.0.113.1"),
		Octets: int64(len(text)), Open: func() io.Reader { return strings.NewReader(text) },
	}
}

// message is a short one with further fields, each with its CRLF.
func message(fields string) string {
	return "From: <account@tenant.example>\r\nTo: <one@mx.example>\r\nSubject: x\r\nMIME-Version: 1.0\r\n" + fields + "\r\nA few words.\r\n"
}

// until waits for a condition.
func until(t *testing.T, within time.Duration, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("within %v it is not so that %s", within, what)
		}
	}
}

// room is a Room of one scanner.
func room(t *testing.T, e inspect.Engine, s inspect.Scanner, late func(inspect.Mail, event.Scan)) *inspect.Room {
	t.Helper()
	s.Name, s.Engines = "s", []inspect.Engine{e}
	r := inspect.NewRoom(inspect.Settings{Scanners: []inspect.Scanner{s}, Late: late})
	t.Cleanup(r.Close)
	return r
}
