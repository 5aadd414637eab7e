package journal

import (
	"os"

	"golang.org/x/sys/unix"
)

// A diskFile is a sink in the file system, or standard output.
type diskFile struct{ *os.File }

func (f diskFile) same(other file) bool {
	o, ok := other.(diskFile)
	if !ok {
		return false
	}
	a, errA := f.Stat()
	b, errB := o.Stat()
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// openFile opens a sink for appending without ever waiting: opening a FIFO that nobody reads must not hold up the
// start, and a Write to it must end when the file is closed.
func openFile(path string) (file, error) {
	if path == "-" {
		return openStdout()
	}
	flags := os.O_WRONLY
	if fi, err := os.Stat(path); err == nil && fi.Mode()&os.ModeNamedPipe != 0 {
		// With a reading end of our own (fifo(7)) a reader may come and go: what it missed waits in the pipe.
		flags = os.O_RDWR
	}
	f, err := os.OpenFile(path, flags|os.O_APPEND|os.O_CREATE|unix.O_NONBLOCK, 0o640)
	if err != nil {
		return nil, err
	}
	return diskFile{f}, nil
}

// openStdout gives standard output a descriptor of its own: on descriptor 1 the Go runtime answers a broken pipe with
// SIGPIPE, which would end kanmon. Pipes and terminals are opened anew, so that not blocking concerns only
// this descriptor and not the programs that share the terminal; files keep the shared offset, sockets cannot be opened.
func openStdout() (file, error) {
	fi, err := os.Stdout.Stat()
	if err == nil && fi.Mode()&(os.ModeNamedPipe|os.ModeCharDevice) != 0 {
		f, err := os.OpenFile("/proc/self/fd/1", os.O_WRONLY|unix.O_NONBLOCK, 0)
		if err == nil {
			return diskFile{f}, nil
		}
	}
	fd, err := unix.FcntlInt(1, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return diskFile{os.NewFile(uintptr(fd), "stdout")}, nil
}
