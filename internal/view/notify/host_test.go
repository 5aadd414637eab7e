package notify

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// What no line says is looked at: how far limits are used, and when certificates end. Each has its end, and between near and far nothing changes.
func TestLimitsThatAreNearAndCertificatesThatEnd(t *testing.T) {
	inTime(t, func(r *rig) {
		r.end()
		var used atomic.Int64
		file := filepath.Join(r.folder, "msa.crt")
		certified(t, file, time.Now().Add(certificateSoon+3*time.Hour))
		r.host = Host{Certificates: []string{file, file + "-none"}, Limits: func(context.Context) ([]LimitReading, error) {
			return []LimitReading{{Tenant: "acme", Name: "tenant-hour", Used: used.Load(), Max: 1000}, {Tenant: "none", Name: "off"}}, nil
		}}
		r.begin()
		r.wants(20 * time.Minute)
		used.Store(810)
		r.wants(7*time.Minute, "limit.near")
		if d := &r.last.Data; d.Tenant != "acme" || d.Rule != "tenant-hour" || d.Numbers[0] != (Number{"used_ratio", .81, limitNear}) || d.Severity != Warning {
			t.Errorf("%+v", d)
		}
		used.Store(700)
		r.wants(20 * time.Minute)
		r.again()
		used.Store(300)
		r.wants(7*time.Minute, "limit.far")
		r.wants(150*time.Minute, "certificate.ending")
		if d := &r.last.Data; d.Condition != file || d.Severity != Warning {
			t.Errorf("%+v", d)
		}
	})
}

// A resolver that policies need is told to fail once, and to be well when it is; where nobody can be asked nothing is told.
func TestAResolverThatFailsIsTold(t *testing.T) {
	inTime(t, func(r *rig) {
		r.end()
		var how atomic.Pointer[ResolverReading]
		r.host = Host{Resolver: func(context.Context) (ResolverReading, error) {
			if is := how.Load(); is != nil {
				return *is, nil
			}
			return ResolverReading{}, errors.New("kanmon is down")
		}}
		r.begin()
		how.Store(&ResolverReading{Gateway: "gw1"})
		r.wants(20 * time.Minute)
		how.Store(&ResolverReading{Gateway: "gw1", Failing: "no DNS resolver answers", Waits: true})
		r.wants(7*time.Minute, "resolver.failing")
		if d := &r.last.Data; d.Condition != "no DNS resolver answers" || d.Gateway != "gw1" || d.Severity != Critical {
			t.Errorf("%+v", d)
		}
		how.Store(nil)
		r.wants(20 * time.Minute)
		how.Store(&ResolverReading{Gateway: "gw1"})
		r.wants(7*time.Minute, "resolver.well")
	})
	if h := resolverIs(&ResolverReading{Failing: "x"}, time.Now()); h.state != "failing" || h.event.Data.Severity != Warning {
		t.Errorf("where nothing waits: %+v", h)
	}
}

// Nearness is told in two steps of a disk and of a certificate, and is over only where there is room.
func TestStepsOfWhatIsNear(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		h     happening
		is    bool
		state string
		event string
		grave Severity
	}{
		{h: certificateIs("f", now.Add(15*24*time.Hour), now), is: true, event: "certificate.renewed", grave: Info},
		{h: certificateIs("f", now.Add(13*24*time.Hour), now), is: true, state: "soon", event: "certificate.ending", grave: Warning},
		{h: certificateIs("f", now.Add(-time.Hour), now), is: true, state: "last", event: "certificate.ending", grave: Critical},
	} {
		if c.h.state != c.state || string(c.h.event.Type) != c.event || c.h.event.Data.Severity != c.grave {
			t.Errorf("%+v, want %s %s", c.h, c.state, c.event)
		}
	}
	for free, want := range map[float64]string{.04: "last gateway.disk_low", .09: "low gateway.disk_low", .12: "", .2: " gateway.disk_room"} {
		h, is := diskIs("/srv", free, now)
		if got := h.state + " " + string(h.event.Type); is != (want != "") || is && got != want {
			t.Errorf("%v free: %v %q, want %q", free, is, got, want)
		}
	}
	for used, want := range map[int64]string{90: "near limit.near", 70: "", 10: " limit.far"} {
		h, is := limitIs(&LimitReading{Tenant: "a", Name: "b", Used: used, Max: 100}, now)
		if got := h.state + " " + string(h.event.Type); is != (want != "") || is && got != want {
			t.Errorf("%d %% used: %v %q, want %q", used, is, got, want)
		}
	}
}

// Two folders of one disk are looked at once.
func TestADiskIsLookedAtOnce(t *testing.T) {
	dir := t.TempDir()
	n := &Notifier{host: Host{Disks: []string{dir, dir, filepath.Join(dir, "none")}}}
	if found := n.disks(time.Now()); len(found) > 1 {
		t.Errorf("%+v", found)
	}
}

func certified(t *testing.T, file string, ends time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: ends.AddDate(-1, 0, 0), NotAfter: ends}
	der, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	if err == nil {
		err = os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
