package check

import (
	"fmt"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A User is who opens files.
type User struct {
	Name   string
	ID     int
	Groups []int // the first one is the primary one
}

// as runs fn so that the kernel judges its access to files by another user: his numbers, his groups, access lists and all. It needs
// root. fn must not start goroutines that open files.
func as(u *User, fn func()) error {
	done := make(chan error, 1)
	go func() {
		// Never unlocked: the thread ends with this goroutine, and the identity with it.
		runtime.LockOSThread()
		err := become(u)
		if err == nil {
			fn()
		}
		done <- err
	}()
	return <-done
}

// become changes the identity of this thread alone, which the functions of package syscall do not.
func become(u *User) error {
	groups := make([]uint32, 0, len(u.Groups))
	for _, id := range u.Groups {
		groups = append(groups, uint32(id))
	}
	if len(groups) == 0 {
		return fmt.Errorf("user %s has no group", u.Name)
	}
	list := slices.Clip(groups)
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(list)), uintptr(unsafe.Pointer(&list[0])), 0); errno != 0 {
		return fmt.Errorf("take the groups of user %s: %w", u.Name, errno)
	}
	// The kernel takes the capabilities that overrule permissions away with the user id 0 (capabilities(7)).
	for _, step := range []struct {
		set func(int) (int, error)
		id  int
	}{{unix.SetfsgidRetGid, int(groups[0])}, {unix.SetfsuidRetUid, u.ID}} {
		if _, err := step.set(step.id); err != nil {
			return fmt.Errorf("become user %s: %w", u.Name, err)
		}
		if now, _ := step.set(-1); now != step.id {
			return fmt.Errorf("become user %s: not permitted", u.Name)
		}
	}
	return nil
}

// seeing runs fn with the eyes of the user that kanmon runs as, and names him. ok is false where that cannot be; fn has not run then.
func (c *checker) seeing(fn func(u User)) (ok bool) {
	u, err := c.eyes()
	switch {
	case err != nil:
		c.unchecked("files", err.Error())
		return false
	case u == nil:
		fn(c.Host.own())
		return true
	}
	return c.seeingAs("files", "kanmon runs", u, fn)
}

// seeingAs runs fn with the eyes of a user that something runs as, as seeing does.
func (c *checker) seeingAs(what, runs string, u *User, fn func(u User)) (ok bool) {
	own := c.Host.own()
	switch {
	case u.ID == own.ID:
		fn(own)
		return true
	case own.ID != 0:
		c.unchecked(what, fmt.Sprintf("%s as %s, and only root can see with its eyes: sudo kanmon check", runs, u.Name))
		return false
	}
	if err := as(u, func() { fn(*u) }); err != nil {
		c.unchecked(what, err.Error())
		return false
	}
	return true
}

// eyes returns who kanmon runs as; nil: as this process.
func (c *checker) eyes() (*User, error) {
	switch {
	case c.Host.As != nil:
		return c.Host.As, nil
	case c.Host.Service == nil:
		return nil, nil
	case c.service != nil && c.service.User != "":
		return c.Host.FindUser(c.service.User)
	case c.service != nil:
		return c.Host.FindUser("root")
	}
	// No unit: intercept.user is who the rules take kanmon to be. Where he is missing, another check says so.
	if name := c.Config.Intercept.User; name != "" {
		if u, err := c.Host.FindUser(name); err == nil {
			return u, nil
		}
	}
	return nil, nil
}
