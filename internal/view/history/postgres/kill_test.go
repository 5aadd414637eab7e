package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kanmon/internal/view/follow"
	"kanmon/internal/view/history/historytest"
	"kanmon/internal/view/history/pgtest"
	"kanmon/internal/view/history/postgres"
)

const (
	// shipperChild makes the test binary ship the records of a gateway: it has its name, the file, and the URL.
	shipperChild = "KANMON_POSTGRES_SHIPPER"
	// killsWanted is how often something is killed; not set: as often as some seconds allow.
	killsWanted = "KANMON_POSTGRES_KILLS"
)

func TestMain(m *testing.M) {
	if of := strings.Split(os.Getenv(shipperChild), "\n"); len(of) == 3 {
		s, err := postgres.Open(postgres.Options{Host: of[0], Database: of[2]})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
		follow.New(follow.Options{Path: of[1], Store: s}).Run(context.Background())
		os.Exit(3)
	}
	os.Exit(m.Run())
}

// A gateway writes records, and drops some, and its shipper ships them.
type gateway struct {
	*historytest.Feed
	file     *os.File
	shipper  *exec.Cmd
	url      string
	attempts int
	drops    int
}

func (g *gateway) write(t *testing.T, random *rand.Rand) {
	t.Helper()
	var text bytes.Buffer
	for range 1 + random.IntN(30) {
		g.attempts++
		at := historytest.Noon.Add(time.Duration(random.IntN(48*3600)) * time.Second) // of two days, or three
		text.Write(g.Attempt(historytest.Mail{
			At: at, Tenant: "acme", Account: "news@acme.example", Provider: "google", SendingIP: "203.0.113.11", Sender: "news@acme.example",
			To: []string{fmt.Sprintf("a%d@x.example", random.IntN(300))}, Octets: 5000,
		}).Raw)
		text.WriteByte('\n')
	}
	if random.IntN(5) == 0 {
		n := 1 + random.IntN(9)
		g.drops += n
		text.Write(g.Line("dropped", historytest.Noon, historytest.M{"records": n}).Raw)
		text.WriteByte('\n')
	}
	if _, err := g.file.Write(text.Bytes()); err != nil {
		t.Fatal(err)
	}
}

func (g *gateway) ship(t *testing.T) {
	t.Helper()
	g.shipper = exec.Command(os.Args[0])
	g.shipper.Env = append(os.Environ(), shipperChild+"="+g.Gateway+"\n"+g.file.Name()+"\n"+g.url)
	g.shipper.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := g.shipper.Start(); err != nil {
		t.Fatal(err)
	}
}

func (g *gateway) kill() {
	_ = g.shipper.Process.Kill()
	_ = g.shipper.Wait()
}

// A relay stands between shippers and the server. It is told to lose the answer to the next COMMIT.
type relay struct {
	to   string
	lose atomic.Bool
	lost atomic.Int64
	wait sync.WaitGroup
}

func startRelay(t *testing.T, dir, to string) *relay {
	t.Helper()
	r := &relay{to: to}
	l, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	r.wait.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.wait.Go(func() { r.carry(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		r.wait.Wait()
	})
	return r
}

func (r *relay) carry(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("unix", r.to)
	if err != nil {
		return
	}
	defer server.Close()
	var losing atomic.Bool
	r.wait.Go(func() {
		defer client.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			if err != nil {
				return
			}
			if losing.Load() { // the server has committed, and nobody hears of it
				r.lost.Add(1)
				return
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	})
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		if bytes.Equal(buf[:n], []byte("Q\x00\x00\x00\x0bcommit\x00")) && r.lose.CompareAndSwap(true, false) {
			losing.Store(true)
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}

// Server, shippers and the answers to COMMIT are lost at any moment, again and again, while two gateways write: at the end each record is there once and
// counted once, but for those that the gateways themselves say they have dropped.
func TestKilledAtAnyMomentEachRecordIsKeptOnce(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	wanted, _ := strconv.Atoi(os.Getenv(killsWanted)) // 0: as many as some seconds allow
	server := pgtest.Start(t)
	dir, err := os.MkdirTemp("", "kanmon-relay-") //nolint:usetesting // the path of a socket has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	server.Database(t)
	const name = "kanmon1"
	relay := startRelay(t, dir, server.Socket())
	var all []*gateway
	for _, of := range []string{"gw1", "gw2"} {
		file, err := os.Create(filepath.Join(dir, of+".jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		g := &gateway{Feed: historytest.NewFeed(of, historytest.Noon), file: file, url: "postgres://kanmon@/" + name + "?host=" + dir}
		g.write(t, random)
		g.ship(t)
		t.Cleanup(func() { _ = file.Close(); g.kill() })
		all = append(all, g)
	}
	var kills [3]int
	const lasts, atMost = 15 * time.Second, 3 * time.Minute
	enough := func() bool { return kills[0] >= 3 && kills[1] >= 3 && relay.lost.Load() >= 3 }
	begin := time.Now()
	for n := 0; wanted > 0 && n < wanted || wanted == 0 && (time.Since(begin) < lasts || !enough() && time.Since(begin) < atMost); n++ {
		kind := n % 3
		g := all[random.IntN(2)]
		if kind == 2 {
			relay.lose.Store(true)
		}
		for range 1 + random.IntN(8) {
			for _, g := range all {
				g.write(t, random)
			}
			time.Sleep(time.Duration(random.IntN(60)) * time.Millisecond)
		}
		switch kind {
		case 0:
			server.Kill(t)
			server.Resume(t)
		case 1:
			g.kill()
			g.ship(t)
		case 2:
			waitUntil(t, "the answer to a COMMIT is lost", func() bool { g.write(t, random); return !relay.lose.Load() })
		}
		kills[kind]++
	}
	attempts, drops := 0, 0
	for _, g := range all {
		attempts, drops = attempts+g.attempts, drops+g.drops
	}
	count := func(sql string) int {
		n, err := strconv.Atoi(server.Do(t, name, sql))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	rows := func() int { return count("SELECT count(*) FROM kanmon.line WHERE kind = 1") }
	waitUntil(t, fmt.Sprintf("%d rows are there", attempts), func() bool { return rows() >= attempts })
	for what, got := range map[string][2]int{
		"rows":     {rows(), attempts},
		"counted":  {count("SELECT sum(attempts) FROM kanmon.tally WHERE unit = 1440 AND of = 0"), attempts},
		"accounts": {count("SELECT sum(attempts) FROM kanmon.account"), attempts},
		"dropped":  {count("SELECT coalesce(sum(value), 0) FROM kanmon.state WHERE key = 'gaps'"), drops},
		"distinct": {count("SELECT count(*) FROM (SELECT DISTINCT run, line FROM kanmon.line WHERE kind = 1) d"), attempts},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %d, want %d (seed %d)", what, got[0], got[1], seed)
		}
	}
	t.Logf("seed %d: %d records of 2 gateways, %d of them dropped and counted; kills: server %d, shipper %d, answers to COMMIT lost %d, in %s",
		seed, attempts+drops, drops, kills[0], kills[1], relay.lost.Load(), time.Since(begin).Round(time.Second))
	if !enough() {
		t.Errorf("%v kills and %d lost answers show nothing", kills, relay.lost.Load())
	}
}

func waitUntil(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not seen: " + what)
		}
	}
}
