package follow

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// A text is a file of records that is being read, line by line.
type text struct {
	file    *os.File      // nil: it is no file
	unzip   io.ReadCloser // nil: it is plain
	in      *bufio.Reader
	offset  int64  // behind the last line that was read whole, in what is written there uncompressed
	head    []byte // the first octets of that
	partial int    // of a line that had no end yet, when its end was looked for last
	line    []byte
}

const (
	readBuffer = 256 << 10
	// mostLine is longer than any line of kanmon's.
	mostLine = 8 << 20
)

// errTooLong is a line that cannot be a record.
var errTooLong = fmt.Errorf("it is longer than %d octets", mostLine)

// compressed are the endings of what can be read.
var compressed = []string{".gz", ".bz2", ".zst"}

// unreadable are the endings of what somebody else must unpack.
var unreadable = []string{".xz", ".lz4", ".lzma", ".zip", ".Z"}

// openText opens a file of records, whose name says whether it is compressed.
func openText(path string) (*text, error) {
	if slices.Contains(unreadable, filepath.Ext(path)) {
		return nil, fmt.Errorf("%s is compressed in a way that kanmon does not read: unpack it, and import it from standard input (xzcat FILE | kanmon history import -)", path)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a FIFO is not waited for
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("%s is no file that can be read from its beginning", path), err, f.Close())
	}
	t := &text{file: f}
	if t.unzip, err = unzip(f, filepath.Ext(path)); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	t.in = newReader(t.source())
	return t, nil
}

func newReader(from io.Reader) *bufio.Reader { return bufio.NewReaderSize(from, readBuffer) }

func unzip(from io.Reader, kind string) (io.ReadCloser, error) {
	switch kind {
	case ".gz":
		return gzip.NewReader(newReader(from))
	case ".bz2":
		return io.NopCloser(bzip2.NewReader(newReader(from))), nil
	case ".zst":
		z, err := zstd.NewReader(from, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return nil, nil //nolint:nilnil // it is plain
}

func (t *text) source() io.Reader {
	if t.unzip != nil {
		return t.unzip
	}
	return t.file
}

func (t *text) close() {
	if t.unzip != nil {
		_ = t.unzip.Close() // nothing was written
	}
	if t.file != nil {
		_ = t.file.Close()
	}
}

// begin goes to where a line begins, in a file whose first octets are known. Of a compressed file everything before it is read.
func (t *text) begin(offset int64, first []byte) error {
	t.head = bytes.Clone(first[:min(int64(len(first)), offset)])
	if t.unzip == nil {
		return t.again(offset)
	}
	n, err := io.CopyN(io.Discard, t.in, offset-t.offset)
	t.offset += n
	return err
}

// again goes there in a plain file, and forgets what had been read of it: whoever writes may have taken back half a line.
func (t *text) again(offset int64) error {
	if _, err := t.file.Seek(offset, io.SeekStart); err != nil {
		return err
	}
	t.in.Reset(t.file)
	t.offset, t.partial = offset, 0
	return nil
}

// next gives the next whole line, without its end; it holds until the next call. At the end, or where the rest of a line has not come yet,
// the error is io.EOF. With errTooLong the line has been passed over.
func (t *text) next() ([]byte, error) {
	t.line = t.line[:0]
	long, size := false, int64(0)
	for {
		piece, err := t.in.ReadSlice('\n')
		size += int64(len(piece))
		if room := headSize - len(t.head); room > 0 && int64(len(t.head)) == t.offset+size-int64(len(piece)) {
			t.head = append(t.head, piece[:min(room, len(piece))]...)
		}
		if long = long || len(t.line)+len(piece) > mostLine; long {
			t.line = t.line[:min(len(t.line), mostShown)]
		} else {
			t.line = append(t.line, piece...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case err != nil:
			t.partial = int(size)
			t.head = t.head[:min(int64(len(t.head)), t.offset)]
			return nil, err
		default:
			t.offset += size
			if long {
				return t.line, errTooLong
			}
			return bytes.TrimSuffix(t.line, []byte("\n")), nil
		}
	}
}

// isAsRead reports whether a file still begins as it did when it was read: nobody has emptied it since.
func (t *text) isAsRead() bool {
	if t.unzip != nil {
		return true
	}
	now := make([]byte, len(t.head))
	_, err := t.file.ReadAt(now, 0)
	return err == nil && bytes.Equal(now, t.head) || len(now) == 0
}

// mostShown is how much of a line that is no record is shown.
const mostShown = 200
