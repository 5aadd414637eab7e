package follow

import (
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	// mostReserve is what history leaves free on its disk, of a small one a fiftieth: kanmon's records and its state may be on it.
	mostReserve  = 512 << 20
	reservedPart = 50
)

// Room says why nothing more may be written to the disk of a folder; nil: something may.
func Room(dir string) error {
	free, reserve, err := free(dir)
	if err == nil && free < reserve {
		err = fmt.Errorf("the disk of %s has %d MiB free, and history leaves %d MiB to others: make room, or make size of [history] smaller", dir, free>>20, reserve>>20)
	}
	return err
}

// Free is how much of a folder's disk is free; 0 where that is not known.
func Free(dir string) int64 {
	n, _, _ := free(dir)
	return n
}

func free(dir string) (free, reserve int64, err error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, 0, fmt.Errorf("the disk of %s does not say how much of it is free: %w", dir, err)
	}
	size := int64(fs.Bsize) //nolint:unconvert // on other machines it is no int64
	return int64(fs.Bavail) * size, min(mostReserve, int64(fs.Blocks)*size/reservedPart), nil
}
