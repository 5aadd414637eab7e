package days

import (
	"bytes"
	_ "embed" // words.txt
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Lines are kept whole, several in a block: a block is as many lines of one Add as make 64 KiB. What stands in nearly every line is in words.txt, which
// the compression refers to: lines that come one by one take little room, too. A file that has been written with it needs it for ever: a better one gets
// the next number, and this one stays.

//go:embed words.txt
var words []byte

const (
	wordsNumber = 1
	blockOctets = 64 << 10
	perBlock    = 1 << 10  // lines, at most
	mostOctets  = 64 << 20 // of what one may unpack to
)

var packer = sync.OnceValues(func() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderDictRaw(wordsNumber, words), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true),
		zstd.WithEncoderLevel(zstd.SpeedFastest))
})

var unpacker = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderDictRaw(wordsNumber, words), zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(mostOctets))
})

// pack compresses lines, none of which has a newline.
func pack(lines [][]byte) ([]byte, error) {
	with, err := packer()
	if err != nil {
		return nil, err
	}
	return with.EncodeAll(bytes.Join(lines, []byte("\n")), nil), nil
}

// unpack is the inverse of pack.
func unpack(data []byte) ([][]byte, error) {
	with, err := unpacker()
	if err != nil {
		return nil, err
	}
	text, err := with.DecodeAll(data, nil)
	if err != nil {
		return nil, fmt.Errorf("unpack lines: %w", err)
	}
	return bytes.Split(text, []byte("\n")), nil
}

// A place is where a line stands: its block, and which of it.
type place = int64

func placeOf(block int64, nth int) place { return block*perBlock + int64(nth) }

// errPlace is seen where a line is not in its block, or its block cannot be unpacked: the file is damaged in a way that SQLite does not see. Such lines are left out.
var errPlace = errors.New("a line is not where it is said to be")
