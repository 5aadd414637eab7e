package daemon

import (
	"testing"
	"time"

	"kanmon/internal/outlet/standing"
)

// A gateway should get mail from its start until it is told to stop, while its rules are in force and it can send from somewhere.
func TestReadyForMail(t *testing.T) {
	const missing = "[[sending_ip]]\naddress = '203.0.113.9'\nehlo = 'nine.example.jp'\n"
	w := newWorld(t, listenTable+sending("here")+missing)
	o := &operator{w.daemon}
	expect := func(when, want string) {
		t.Helper()
		if got := o.Unready(); got != want {
			t.Errorf("%s it is not ready because %q, want %q", when, got, want)
		}
	}
	expect("before the start", "kanmon is starting")
	w.start()
	expect("with one sending IP of two", "")

	w.note(func() { w.lost = "not in force: chain prerouting" })
	expect("without rules", "firewall rules: not in force: chain prerouting")
	w.note(func() { w.lost = "" })

	here := standing.Key{IP: w.daemon.cfg.SendingIPs[0].Address, Provider: standing.Every}
	if err := w.daemon.book.Suspend(here, time.Now().Add(time.Hour), "a test", "somebody"); err != nil {
		t.Fatal(err)
	}
	expect("with none", "no sending IP can be used: 1 not on this host, 1 suspended at all providers")
	if err := w.daemon.book.Resume(here, "somebody"); err != nil {
		t.Fatal(err)
	}
	expect("with one again", "")
	at := standing.Key{IP: here.IP, Provider: "google"}
	if err := w.daemon.book.Suspend(at, time.Now().Add(time.Hour), "a test", "somebody"); err != nil {
		t.Fatal(err)
	}
	expect("refused by one provider", "")

	w.daemon.leaving.Store(true) // as a handover does before anything else
	expect("handing over", "kanmon hands over")
	w.daemon.leaving.Store(false)

	// A reload that takes its time is not waited for, nor is a stop behind it.
	w.daemon.change.Lock()
	expect("in a reload", "")
	stopped := make(chan struct{})
	go func() { defer close(stopped); w.stop() }()
	waitUntil(t, "the stop is told of", func() bool { return o.Unready() == "kanmon is stopping" })
	w.daemon.change.Unlock()
	<-stopped
	expect("behind the stop", "kanmon is stopping")
}

// A gateway that stands by has none of the addresses that float, and is ready to get them, with the mail. One that a person has suspended
// would be of no use here either.
func TestReadyToStandBy(t *testing.T) {
	w := newWorld(t, listenTable+"[[sending_ip]]\naddress = '203.0.113.9'\nehlo = 'nine.example.jp'\nfloating = true\n")
	w.start()
	defer w.stop()
	o := &operator{w.daemon}
	if why := o.Unready(); why != "" {
		t.Errorf("not ready: %s", why)
	}
	if s := o.Status(); len(s.Problems) != 0 || len(s.Absent) != 0 || len(s.Standby) != 1 {
		t.Errorf("standing by is no problem: %+v", s)
	}
	floating := standing.Key{IP: w.daemon.cfg.SendingIPs[0].Address, Provider: standing.Every}
	if err := w.daemon.book.Suspend(floating, time.Now().Add(time.Hour), "a test", "somebody"); err != nil {
		t.Fatal(err)
	}
	if why := o.Unready(); why != "no sending IP can be used: 1 suspended at all providers" {
		t.Errorf("with what would come here suspended, not ready is %q", why)
	}
}

// Without sending IPs the kernel chooses.
func TestReadyWhereTheKernelChooses(t *testing.T) {
	w := newWorld(t, listenTable)
	w.start()
	defer w.stop()
	if why := (&operator{w.daemon}).Unready(); why != "" {
		t.Errorf("not ready: %s", why)
	}
}
