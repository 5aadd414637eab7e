package journal

import (
	"bytes"
	"errors"
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

// endsOpen reads the last octet. A sink that cannot be read, a pipe, is taken for one that ends a line.
func (f diskFile) endsOpen() bool {
	fi, err := f.Stat()
	if err != nil || !fi.Mode().IsRegular() || fi.Size() == 0 {
		return false
	}
	var last [1]byte
	_, err = f.ReadAt(last[:], fi.Size()-1)
	return err == nil && last[0] != '\n'
}

// takeBack cuts the file, if it ends in what was written: on a full disk, too, that is possible.
func (f diskFile) takeBack(tail []byte) error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	at := fi.Size() - int64(len(tail))
	if !fi.Mode().IsRegular() || at < 0 {
		return errors.ErrUnsupported
	}
	is := make([]byte, len(tail))
	if _, err := f.ReadAt(is, at); err != nil {
		return err
	}
	if !bytes.Equal(is, tail) {
		return errors.ErrUnsupported
	}
	return f.Truncate(at)
}

// openFile opens a sink for appending without ever waiting: opening a FIFO that nobody reads must not hold up the
// start, and a Write to it must end when the file is closed.
func openFile(path string) (file, error) {
	if path == "-" {
		return openStdout()
	}
	open := func(how int) (*os.File, error) {
		return os.OpenFile(path, how|os.O_APPEND|os.O_CREATE|unix.O_NONBLOCK, 0o640)
	}
	// To be read, too: a FIFO with a reading end of our own lets readers come and go, and what they missed waits in the
	// pipe (fifo(7)); of a file the end is looked at.
	f, err := open(os.O_RDWR)
	if errors.Is(err, os.ErrPermission) {
		f, err = open(os.O_WRONLY)
	}
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
