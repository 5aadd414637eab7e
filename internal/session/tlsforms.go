package session

import (
	"crypto/tls"
	"net/netip"
	"sync"
)

// allSuites are all that Go has, those that it does not offer by itself too (RSA key exchange, 3DES): the alternative is plain text, or no
// mail. Which of them is taken is crypto/tls's own order.
func allSuites() (suites []uint16) {
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		suites = append(suites, s.ID)
	}
	return suites
}

// classicalCurves are crypto/tls's own without the post-quantum ones.
var classicalCurves = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}

// tlsForms are the configurations toward MXs: with the post-quantum key share or without, with tickets or without. They are made
// once: the common cache of sessions serves all MXs.
type tlsForms struct {
	once        sync.Once
	forms       [2][2]*tls.Config // [classical][no tickets]
	postQuantum bool              // the first form offers a share

	named memo[namedForm, *tls.Config] // those that show a name, so that sessions with one MX share them
}

// A namedForm is a form that shows a name to an MX.
type namedForm struct {
	form *tls.Config
	mx   netip.AddrPort
	name string
}

// tlsToMX returns the forms.
func (e *Engine) tlsToMX() *tlsForms {
	e.toMX.once.Do(func() {
		full := e.TLSToMX
		if full == nil {
			full = defaultClientTLS()
		}
		e.toMX.postQuantum = full.CurvePreferences == nil // else somebody else has decided
		classical := full.Clone()
		if e.toMX.postQuantum {
			classical.CurvePreferences = classicalCurves
		}
		for i, form := range []*tls.Config{full, classical} {
			withoutTickets := form.Clone()
			withoutTickets.ClientSessionCache = nil
			e.toMX.forms[i] = [2]*tls.Config{form, withoutTickets}
		}
	})
	return &e.toMX
}

// config returns the configuration for a way, which shows a name to the MX; "": none.
func (f *tlsForms) config(way tlsWay, mx netip.AddrPort, name string) *tls.Config {
	form := f.form(way)
	if name == "" {
		return form
	}
	key := namedForm{form, mx, name}
	if known, ok := f.named.get(key); ok {
		return known
	}
	config := form.Clone()
	config.ServerName = name
	if form.ClientSessionCache != nil {
		config.ClientSessionCache = &namedTicket{form.ClientSessionCache, mx.String() + " " + name}
	}
	f.named.put(key, config, networkOf(mx.Addr()).String())
	return config
}

func (f *tlsForms) form(way tlsWay) *tls.Config {
	classical, noTickets := 0, 0
	if way&wayClassical != 0 {
		classical = 1
	}
	if way&wayNoTicket != 0 {
		noTickets = 1
	}
	return f.forms[classical][noTickets]
}
