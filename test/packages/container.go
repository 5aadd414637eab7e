package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// nobody is the user that the container runs as.
const nobody = 65532

// container builds the image twice, looks into it, and runs kanmon where nothing else is.
func (b *bench) container() (string, error) {
	first, second := filepath.Join(b.dir, "one.tar"), filepath.Join(b.dir, "two.tar")
	for _, out := range []string{first, second} {
		cmd := b.command("packaging/container.sh")
		cmd.Dir = b.tree
		cmd.Env = append(os.Environ(), "VERSION="+newer, "OUT="+out)
		if said, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("container.sh: %w\n%s", err, said)
		}
	}
	archive, err := readArchive(first)
	if err != nil {
		return "", err
	}
	again, err := readArchive(second)
	if err != nil {
		return "", err
	}
	image, err := archive.image()
	if err != nil {
		return "", err
	}
	other, err := again.image()
	switch {
	case err != nil:
		return "", err
	case image.digest != other.digest:
		return "", fmt.Errorf("built twice: %s and %s", image.digest, other.digest)
	case image.User != fmt.Sprintf("%d:%d", nobody, nobody):
		return "", fmt.Errorf("it runs as %q", image.User)
	case strings.Join(append(image.Entrypoint, image.Cmd...), " ") != "/usr/bin/kanmon run":
		return "", fmt.Errorf("it runs %q %q", image.Entrypoint, image.Cmd)
	}
	root := filepath.Join(b.dir, "container")
	files, err := image.unpack(root)
	if err != nil {
		return "", err
	}
	cmd := b.command(image.Entrypoint[0], "version")
	cmd.Dir = "/"
	cmd.SysProcAttr.Chroot, cmd.SysProcAttr.Credential = root, &syscall.Credential{Uid: nobody, Gid: nobody}
	version, err := cmd.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(version), "kanmon "+newer+",") {
		return "", fmt.Errorf("in the container kanmon version says %q, %w", version, err)
	}
	return fmt.Sprintf("%d files, runs as %s, twice %s", files, image.User, image.digest[:19]), nil
}

// An archive is an OCI archive: blobs by their names.
type archive map[string][]byte

func readArchive(path string) (archive, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	a := archive{}
	for r := tar.NewReader(f); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return a, nil
		}
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		a[header.Name] = content
	}
}

func (a archive) blob(digest string) []byte {
	return a["blobs/"+strings.Replace(digest, ":", "/", 1)]
}

// An ociImage is what an image says of itself, and its layers.
type ociImage struct {
	User       string
	Entrypoint []string
	Cmd        []string

	digest string
	layers [][]byte
}

// A reference names a blob.
type reference struct {
	Digest string `json:"digest"`
}

func (a archive) image() (*ociImage, error) {
	var index struct {
		Manifests []reference `json:"manifests"`
	}
	if err := json.Unmarshal(a["index.json"], &index); err != nil || len(index.Manifests) != 1 {
		return nil, fmt.Errorf("index.json names %d images, %w", len(index.Manifests), err)
	}
	var manifest struct {
		Config reference   `json:"config"`
		Layers []reference `json:"layers"`
	}
	if err := json.Unmarshal(a.blob(index.Manifests[0].Digest), &manifest); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	config := struct {
		Config *ociImage `json:"config"`
	}{&ociImage{digest: index.Manifests[0].Digest}}
	if err := json.Unmarshal(a.blob(manifest.Config.Digest), &config); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	for _, layer := range manifest.Layers {
		config.Config.layers = append(config.Config.layers, a.blob(layer.Digest))
	}
	return config.Config, nil
}

// unpack lays the image's files below root and judges them: all are root's and nobody else may write to them, but for the three folders
// in which kanmon writes.
func (i *ociImage) unpack(root string) (files int, err error) {
	owned := map[string]bool{"var/lib/kanmon": true, "var/log/kanmon": true, "run/kanmon": true}
	for _, layer := range i.layers {
		plain, err := uncompressed(layer)
		if err != nil {
			return 0, err
		}
		for r := tar.NewReader(plain); ; {
			header, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return 0, err
			}
			name := path.Clean(header.Name)
			if header.Mode&0o022 != 0 || (header.Uid != 0 && header.Uid != nobody) || (owned[name] && header.Uid != nobody) {
				return 0, fmt.Errorf("%s belongs to %d with the mode %o", name, header.Uid, header.Mode)
			}
			if header.Typeflag == tar.TypeDir {
				err = os.MkdirAll(filepath.Join(root, name), 0o755)
			} else {
				files++
				err = unpackFile(filepath.Join(root, name), r, os.FileMode(header.Mode))
			}
			if err != nil {
				return 0, err
			}
		}
	}
	return files, nil
}

// uncompressed gives a layer as the tar archive that it is; an archive for one host need not be compressed.
func uncompressed(layer []byte) (io.Reader, error) {
	if bytes.HasPrefix(layer, []byte{0x1f, 0x8b}) {
		return gzip.NewReader(bytes.NewReader(layer))
	}
	return bytes.NewReader(layer), nil
}

func unpackFile(path string, r io.Reader, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return os.WriteFile(path, content, mode)
}
