package view

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kanmon/internal/config"
)

const twoIPs = "[[sending_ip]]\naddress = '192.0.2.1'\nehlo = 'out1.example.jp'\n[[sending_ip]]\naddress = '192.0.2.2'\nehlo = 'out2.example.jp'\n[pool.bulk]\nips = ['192.0.2.2']\n[pool.default]\nips = ['192.0.2.1', '192.0.2.2']\n"

// What the page says of whence mail may leave follows the configuration's file, and stays as it was while that is wrong.
func TestThePageFollowsTheConfiguration(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kanmon.toml")
	at := time.Now().Add(-time.Hour)
	write := func(text string) {
		t.Helper()
		at = at.Add(time.Minute)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
	write(twoIPs)
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	c := &configured{cfg: cfg, log: slog.New(slog.DiscardHandler)}
	if w := c.ways(); len(w.IPs) != 2 || w.IPs[1].EHLO != "out2.example.jp" || len(w.IPs[1].Pools) != 2 || w.IPs[1].Pools[0] != "bulk" || w.Thresholds.RefusedTenants != 2 {
		t.Errorf("%+v", w)
	}
	write("[[sending_ip]]\naddress = 'x'\n")
	if w := c.ways(); len(w.IPs) != 2 {
		t.Errorf("with a wrong file: %+v", w)
	}
	write("[[sending_ip]]\naddress = '192.0.2.3'\nehlo = 'out3.example.jp'\n[standing]\nrefused_tenants = 4\n")
	if w := c.ways(); len(w.IPs) != 1 || w.IPs[0].EHLO != "out3.example.jp" || w.Thresholds.RefusedTenants != 4 {
		t.Errorf("behind a change: %+v", w)
	}
}

// What is shown of a configuration has nothing that lets anybody do something.
func TestTheConfigurationIsShownWithoutSecrets(t *testing.T) {
	shown := secretless("[notify]\nurl = 'https://hooks.example/T0K3N'\n  password=\"x\\\"T0K3N\"\nhook = { url = \"https://a:T0K3N@b\", secrets = 'T0K3N' }\nsecret_file = '/etc/kanmon/s'\n")
	if strings.Contains(shown, "T0K3N") || !strings.Contains(shown, "secret_file = '/etc/kanmon/s'") || strings.Count(shown, "…") != 4 {
		t.Errorf("shown is %s", shown)
	}
}
