package web

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// A User is a line of the file of users: name:role:hash.
type User struct {
	Name string
	Role Role
	hash string // as argon2 writes it: $argon2id$v=19$m=…,t=…,p=…$salt$key
}

// Users is a file of those who may log in. It is read anew when it has changed.
type Users struct {
	path string

	mu   sync.Mutex
	all  []User
	seen os.FileInfo
	err  error
}

// OpenUsers names the file. It may come later: until then nobody can log in.
func OpenUsers(path string) *Users { return &Users{path: path} }

// Bounds of what a person may choose.
const (
	maxName     = 64
	minPassword = 10 // characters
	maxPassword = 1024
)

// ErrNoUser is seen where a name is not in the file.
var ErrNoUser = errors.New("there is no such user")

// List gives all of the file, by name.
func (u *Users) List() ([]User, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	info, err := os.Stat(u.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		u.all, u.seen, u.err = nil, nil, nil
	case err != nil:
		return nil, err
	case u.seen == nil || !os.SameFile(info, u.seen) || !info.ModTime().Equal(u.seen.ModTime()) || info.Size() != u.seen.Size():
		u.all, u.err = readUsers(u.path)
		u.seen = info
	}
	return u.all, u.err
}

// Find gives one.
func (u *Users) Find(name string) (User, error) {
	all, err := u.List()
	if err != nil {
		return User{}, err
	}
	i := slices.IndexFunc(all, func(x User) bool { return x.Name == name })
	if i < 0 {
		return User{}, ErrNoUser
	}
	return all[i], nil
}

func readUsers(path string) (all []User, err error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	number := 0
	for line := range strings.Lines(string(content)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		parts := strings.SplitN(line, ":", 3)
		role, known := Nobody, false
		if len(parts) == 3 {
			role, known = ParseRole(parts[1])
		}
		if !known {
			return nil, fmt.Errorf(`%s:%d: want name:role:hash, with the role look, search or act; "kanmon web user add" writes such lines`, path, number)
		}
		if _, err := parseHash(parts[2]); err != nil {
			return nil, fmt.Errorf("%s:%d: the hash of %s: %w", path, number, parts[0], err)
		}
		if slices.ContainsFunc(all, func(x User) bool { return x.Name == parts[0] }) {
			return nil, fmt.Errorf("%s:%d: %s is there twice", path, number, parts[0])
		}
		all = append(all, User{parts[0], role, parts[2]})
	}
	slices.SortFunc(all, func(a, b User) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// CheckName says what a user cannot be called.
func CheckName(name string) error {
	bad := func(r rune) bool {
		return r != '.' && r != '-' && r != '_' && r != '@' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}
	if name == "" || len(name) > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, bad) {
		return fmt.Errorf("%.80q is no name of a user: want letters, digits, and . - _ @, at most %d octets", name, maxName)
	}
	return nil
}

// CheckPassword says what is no password.
func CheckPassword(password string) error {
	switch n := utf8.RuneCountInString(password); {
	case n < minPassword:
		return fmt.Errorf("the password has %d characters: want at least %d", n, minPassword)
	case len(password) > maxPassword:
		return fmt.Errorf("the password has %d octets: want at most %d", len(password), maxPassword)
	case !utf8.ValidString(password) || strings.ContainsFunc(password, unicode.IsControl):
		return errors.New("the password has characters that cannot be typed into a browser")
	}
	return nil
}

// Set writes a user into the file. An empty password leaves the one that there is.
func (u *Users) Set(name string, role Role, password string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	old, err := u.Find(name)
	if err != nil && (!errors.Is(err, ErrNoUser) || password == "") {
		return err
	}
	next := User{name, role, old.hash}
	if password != "" {
		if err := CheckPassword(password); err != nil {
			return err
		}
		next.hash = hashOf(password)
	}
	return u.change(func(all []User) []User {
		return append(slices.DeleteFunc(all, func(x User) bool { return x.Name == name }), next)
	})
}

// Remove takes a user out of the file: whoever is logged in as such is not any more.
func (u *Users) Remove(name string) error {
	if _, err := u.Find(name); err != nil {
		return err
	}
	return u.change(func(all []User) []User { return slices.DeleteFunc(all, func(x User) bool { return x.Name == name }) })
}

// change writes the file anew, with its owner and mode: beside it, then in its place.
func (u *Users) change(do func([]User) []User) error {
	all, err := u.List()
	if err != nil {
		return err
	}
	next := do(slices.Clone(all))
	slices.SortFunc(next, func(a, b User) int { return strings.Compare(a.Name, b.Name) })
	text := "# Who may see kanmon's page. kanmon web user add, passwd and remove change it; it is read anew by itself.\n"
	for _, x := range next {
		text += fmt.Sprintf("%s:%s:%s\n", x.Name, x.Role, x.hash)
	}
	return replaceFile(u.path, text)
}

func replaceFile(path, text string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".web-users-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.WriteString(text)
	if err == nil {
		err = likeOld(f, path)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// What a password costs to try: RFC 9106, section 4, its second choice.
const (
	hashTime    = 3
	hashMemory  = 64 << 10 // KiB
	hashThreads = 4
	hashLength  = 32
	saltLength  = 16
)

type passwordHash struct {
	time, memory uint32
	threads      uint8
	salt, key    []byte
}

func hashOf(password string) string {
	salt := make([]byte, saltLength)
	_, _ = rand.Read(salt) // it never fails
	key := argon2.IDKey([]byte(password), salt, hashTime, hashMemory, hashThreads, hashLength)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, hashMemory, hashTime, hashThreads, b64(salt), b64(key))
}

func parseHash(text string) (h passwordHash, err error) {
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return h, errors.New("it is none of argon2id")
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.time, &h.threads); err != nil {
		return h, fmt.Errorf("%q: %w", parts[3], err)
	}
	if h.memory > 1<<20 || h.time == 0 || h.time > 100 || h.threads == 0 {
		return h, fmt.Errorf("%q costs nothing, or more than this host has", parts[3])
	}
	if h.salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err == nil {
		h.key, err = base64.RawStdEncoding.DecodeString(parts[5])
	}
	if err == nil && len(h.key) < 16 {
		err = errors.New("its key is too short")
	}
	return h, err
}

// trying bounds the memory that passwords cost: one at a time.
var trying sync.Mutex

// nobodys is tried where there is no such user, so that it takes as long.
var nobodys = sync.OnceValue(func() string { return hashOf("nobody") })

// Check says whether it is the user's password.
func (u *Users) Check(name, password string) (User, bool) {
	one, err := u.Find(name)
	known := err == nil
	if !known {
		one.hash = nobodys()
	}
	h, err := parseHash(one.hash)
	if err != nil || len(password) > maxPassword {
		return User{}, false
	}
	trying.Lock()
	defer trying.Unlock()
	got := argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.threads, uint32(len(h.key)))
	return one, subtle.ConstantTimeCompare(got, h.key) == 1 && known
}
