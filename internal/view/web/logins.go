package web

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"sync"
	"time"
)

// How long a login lasts, unless the configuration says otherwise.
const (
	DefaultIdle    = time.Hour
	DefaultLongest = 12 * time.Hour
)

// Bounds of what is remembered.
const (
	maxLogins     = 1000
	maxLoginsEach = 20
	maxSaid       = 1000
)

// logins are those who are logged in. A restart forgets them.
type logins struct {
	idle, longest time.Duration

	mu   sync.Mutex
	open map[[sha256.Size]byte]*login // by the hash of what the cookie has: who reads this memory cannot be them
	said map[string]string            // to whom, what came of their last change
}

// A login is a person at one browser.
type login struct {
	name        string
	hash        string // of the password that it was with: with another one it is over
	begun, used time.Time
}

func (l *logins) begin(idle, longest time.Duration) {
	l.idle, l.longest = idle, longest
	if l.idle == 0 {
		l.idle = DefaultIdle
	}
	if l.longest == 0 {
		l.longest = DefaultLongest
	}
	l.open, l.said = map[[sha256.Size]byte]*login{}, map[string]string{}
}

// add begins one, and gives what the cookie is to have.
func (l *logins) add(of User, now time.Time) string {
	token := rand.Text() + rand.Text()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tidy(now)
	own := 0
	for _, one := range l.open {
		if one.name == of.Name {
			own++
		}
	}
	if own >= maxLoginsEach {
		l.dropOldest(func(one *login) bool { return one.name == of.Name })
	}
	if len(l.open) >= maxLogins {
		l.dropOldest(func(*login) bool { return true })
	}
	l.open[sha256.Sum256([]byte(token))] = &login{of.Name, of.hash, now, now}
	return token
}

func (l *logins) tidy(now time.Time) {
	for key, one := range l.open {
		if l.over(one, now) {
			delete(l.open, key)
		}
	}
}

func (l *logins) over(one *login, now time.Time) bool {
	return now.Sub(one.used) > l.idle || now.Sub(one.begun) > l.longest
}

func (l *logins) dropOldest(of func(*login) bool) {
	var oldest *login
	var at [sha256.Size]byte
	for key, one := range l.open {
		if of(one) && (oldest == nil || one.used.Before(oldest.used)) {
			oldest, at = one, key
		}
	}
	if oldest != nil {
		delete(l.open, at)
	}
}

// find gives who a cookie is of. A page that asks by itself, again and again, keeps nobody logged in.
func (l *logins) find(token string, now time.Time, byHand bool) (login, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := sha256.Sum256([]byte(token))
	one := l.open[key]
	if one == nil {
		return login{}, false
	}
	if l.over(one, now) {
		delete(l.open, key)
		return login{}, false
	}
	if byHand {
		one.used = now
	}
	return *one, true
}

func (l *logins) end(token string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, sha256.Sum256([]byte(token)))
}

// tell leaves word for a person's next page.
func (l *logins) tell(name, what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.said) < maxSaid {
		l.said[name] = what
	}
}

func (l *logins) told(name string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	what := l.said[name]
	delete(l.said, name)
	return what
}

// Names of the cookie begin with these. That with the prefix is taken by browsers only over TLS, from this host, for all of it (RFC 6265bis, 4.1.3.2).
const (
	cookieName    = "kanmon-"
	cookieNameTLS = "__Host-kanmon-"
)

// cookieNamed is the name of the cookie of a gateway. Cookies know no ports (RFC 6265, 8.5): of two gateways that are reached by "ssh -L" at two ports
// of one host, each would take that of the other for its own, and write over it.
func cookieNamed(gateway string, secure bool) string {
	name := cookieName
	if secure {
		name = cookieNameTLS
	}
	of := sha256.Sum256([]byte(gateway))
	return name + hex.EncodeToString(of[:6])
}

func (s *Server) cookie(value string) *http.Cookie {
	c := &http.Cookie{Name: cookieNamed(s.Gateway, s.TLS), Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: s.TLS}
	if value == "" {
		c.MaxAge = -1
	}
	return c
}
