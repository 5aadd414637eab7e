package netlab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// An Image is a file system of a host's own: that of the machine, and over it what test/setup/install.sh installed for the group
// "mtas". What is written to it goes when the lab goes. Programs in it see their files where their packages put them.
type Image struct {
	host *Host
	root string
}

// Image lays an image of the group "mtas" over the machine's file system, in a folder that this host alone sees.
func (h *Host) Image(name string) (*Image, error) {
	lower, err := imageLayer(name)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", name, err)
	}
	i := &Image{host: h, root: filepath.Join(h.Dir, "image-"+name)}
	upper, work := i.root+".upper", i.root+".work"
	for _, dir := range []string{i.root, upper, work} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, fmt.Errorf("image %s: %w", name, err)
		}
	}
	err = h.Do(func() error {
		options := fmt.Sprintf("lowerdir=%s:/,upperdir=%s,workdir=%s", lower, upper, work)
		if err := unix.Mount("overlay", i.root, "overlay", 0, options); err != nil {
			return err
		}
		return errors.Join(i.mountKernel(), i.makeDevices())
	})
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", name, err)
	}
	h.lab.Cleanup(func() error {
		h.killAll()
		return h.Do(func() error { return unix.Unmount(i.root, unix.MNT_DETACH) })
	})
	return i, nil
}

// killAll ends every process in the host's network namespace: MTAs leave deliveries in the background, out of their process group.
func (h *Host) killAll() {
	own, err := os.Readlink(h.netns())
	if err != nil {
		return
	}
	namespaces, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, path := range namespaces {
		pid, err := strconv.Atoi(strings.Split(path, "/")[2])
		if err != nil || pid == os.Getpid() {
			continue
		}
		if namespace, err := os.Readlink(path); err == nil && namespace == own {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// imageLayers guards the copying: hosts of several labs ask for the same image.
var imageLayers sync.Mutex

// imageLayer gives the folder of an image's files in this run's memory. Where they were installed they lie in the file system that they
// are to cover, and overlay refuses layers that overlap.
func imageLayer(name string) (string, error) {
	source := filepath.Join(cacheDir(), "mtas", name, "upper")
	if _, err := os.Stat(source); err != nil {
		return "", fmt.Errorf("%w: run test/setup/install.sh mtas, as root", err)
	}
	layers := filepath.Join(runDir(), "images")
	layer := filepath.Join(layers, name)
	if err := os.MkdirAll(layers, 0o755); err != nil {
		return "", err
	}
	imageLayers.Lock()
	defer imageLayers.Unlock()
	if _, err := os.Stat(layer); !errors.Is(err, fs.ErrNotExist) {
		return layer, err
	}
	if out, err := exec.Command("cp", "-a", source, layer).CombinedOutput(); err != nil {
		return "", fmt.Errorf("copy: %w: %s", err, out)
	}
	return layer, nil
}

func (i *Image) mountKernel() error {
	if err := unix.Mount("proc", i.Path("/proc"), "proc", 0, ""); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", i.Path("/tmp"), "tmpfs", 0, "mode=1777"); err != nil {
		return err
	}
	return unix.Mount("tmpfs", i.Path("/dev"), "tmpfs", 0, "mode=0755")
}

// makeDevices makes the devices that every program expects. The machine's own /dev would lead to its system log.
func (i *Image) makeDevices() error {
	devices := map[string][2]uint32{"null": {1, 3}, "zero": {1, 5}, "full": {1, 7}, "random": {1, 8}, "urandom": {1, 9}, "tty": {5, 0}}
	for name, number := range devices {
		path := i.Path("/dev/" + name)
		if err := unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(number[0], number[1]))); err != nil {
			return err
		}
		if err := os.Chmod(path, 0o666); err != nil {
			return err
		}
	}
	return errors.Join(os.Mkdir(i.Path("/dev/shm"), 0o1777), os.Symlink("/proc/self/fd", i.Path("/dev/fd")))
}

// Path gives the path by which the host itself, in Do, finds a file of the image.
func (i *Image) Path(file string) string { return filepath.Join(i.root, file) }

// Write writes a file of the image. A symbolic link in its place is replaced.
func (i *Image) Write(file, content string) error {
	return i.host.Do(func() error {
		path := i.Path(file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return os.WriteFile(path, []byte(content), 0o644)
	})
}

// Command prepares a program of the image, in a process group of its own. It must be started on the host, in Do.
func (i *Image) Command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command("/usr/sbin/chroot", append([]string{i.root, program}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}
