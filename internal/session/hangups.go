package session

import (
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kanmon/internal/event"
)

// While an MX is waited for, nothing is read of the MSA. Of all that wait for longer than a slice the kernel tells one goroutine who has
// been hung up on, and it ends their slices: they look around at once, and nobody wakes up as long as nobody hangs up.

// hangUps are the sessions whose MSA is watched. The zero hangUps is ready.
type hangUps struct {
	mu    sync.Mutex
	list  int                // the kernel's, an epoll(7), for as long as there is anything on it
	open  *os.File           // the same; nil: there is none
	waits map[int32]*session // by the MSA's descriptor
}

// A hangUpTeller is a connection that tells itself when its peer hangs up, or at once where that has happened. Nil: no more.
type hangUpTeller interface{ TellHangUp(tell func()) }

// watch ends the reads of the MX's connection that wait, once, when the MSA hangs up, or at once where it has. It
// reports whether there is something to forget.
func (h *hangUps) watch(s *session) bool {
	if conn, tells := s.msa.base.(hangUpTeller); tells {
		conn.TellHangUp(s.hangsUp)
		return true
	}
	if s.msaDescriptor <= 0 {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open == nil && h.begin() != nil {
		return false // the slices are there, too
	}
	wanted := unix.EpollEvent{Events: unix.EPOLLRDHUP | unix.EPOLLONESHOT, Fd: s.msaDescriptor}
	if unix.EpollCtl(h.list, unix.EPOLL_CTL_ADD, int(s.msaDescriptor), &wanted) != nil {
		return false
	}
	h.waits[s.msaDescriptor] = s
	return true
}

// forget is the end of watch: no wait that begins behind it is ended.
func (h *hangUps) forget(s *session) {
	if conn, tells := s.msa.base.(hangUpTeller); tells {
		conn.TellHangUp(nil)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.waits, s.msaDescriptor)
	_ = unix.EpollCtl(h.list, unix.EPOLL_CTL_DEL, int(s.msaDescriptor), nil) // it is open, and on the list
	if len(h.waits) == 0 {
		_ = h.open.Close() // which ends listen
		h.open = nil
	}
}

func (h *hangUps) begin() error {
	list, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	if err := unix.SetNonblock(list, true); err != nil { // so that the runtime waits for it, and no thread
		_ = unix.Close(list)
		return err
	}
	open := os.NewFile(uintptr(list), "epoll")
	waiting, err := open.SyscallConn()
	if err != nil {
		return err
	}
	h.list, h.open, h.waits = list, open, make(map[int32]*session)
	go h.listen(waiting)
	return nil
}

// listen ends waits as hang-ups come.
func (h *hangUps) listen(list syscall.RawConn) {
	come := make([]unix.EpollEvent, 64)
	for {
		n := 0
		err := list.Read(func(fd uintptr) bool {
			n, _ = unix.EpollWait(int(fd), come, 0)
			return n > 0
		})
		if err != nil {
			return
		}
		h.mu.Lock()
		for _, e := range come[:n] {
			if s, waits := h.waits[e.Fd]; waits {
				s.hangsUp()
			}
		}
		h.mu.Unlock()
	}
}

// hangsUp is called, while the MSA is watched and by another goroutine, when it has hung up.
func (s *session) hangsUp() {
	s.marks.set(markHungUp)
	endWait(s.mx.base)
}

// endWait lets the deadline of a read pass: to a session that is the end of a slice.
func endWait(conn net.Conn) { _ = conn.SetReadDeadline(time.Unix(1, 0)) }

// watchMSA has the wait for an MX end as soon as the MSA hangs up: from the first look on that has seen it there,
// behind the deadline of the slice, which would else undo that end. It stays watched until the wait is over. An MSA
// that has closed its sending side, and counts as there, is looked at in slices alone; so is one that waits for what is
// no part of a mail.
func (s *session) watchMSA(phase event.Phase) {
	if phase < event.PhaseReset && !s.talk.orphan {
		s.talk.watched = s.e.Live.hangUps.watch(s)
	}
}

// stillThere reports whether the MSA is watched, and nobody has heard that it has hung up: then it need not be looked
// at, but where it must be known that a half-close came no later than in its time.
func (s *session) stillThere() bool {
	return s.talk.watched && !s.marks.has(markHungUp) && (s.mail.dotAt == 0 || s.talk.openAt >= s.mail.dotAt+halfClosed)
}

func (s *session) unwatchMSA(mx *leg) {
	s.talk.watched = false
	s.e.Live.hangUps.forget(s)
	s.marks.clear(markHungUp)
	mx.armed = 0 // whatever it was, it may have been moved
}
