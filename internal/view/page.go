package view

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/config"
	"kanmon/internal/view/history"
	"kanmon/internal/view/notes"
	"kanmon/internal/view/web"
)

// A Page is the page, ready to be served.
type Page struct {
	server   *web.Server
	listener net.Listener
	book     *notes.Book
	log      *slog.Logger
	where    string
}

// closing is how long answers that are under way may take when it ends.
const closing = 5 * time.Second

// notesFile is the file of notes inside the directory of the page.
const notesFile = "notes.db"

// Checks is what looks for what would hurt: the worst first.
type Checks func(context.Context, *config.Config) []web.Finding

// OpenPage makes the page of a configuration: of a history, if there is one, and of what checks find.
func OpenPage(cfg *config.Config, store history.Store, checks Checks, log *slog.Logger) (_ *Page, err error) {
	w := &cfg.Web
	if cfg.Admin.Socket == "" {
		return nil, errors.New(`admin.socket is "off": the page shows what kanmon says there`)
	}
	role, _ := web.ParseRole(string(w.May))
	file := &configured{cfg: cfg, log: log, checks: checks}
	file.now()
	o := web.Options{
		Gateway: nameOf(cfg), Admin: admin.NewClient(cfg.Admin.Socket), History: store, Users: web.OpenUsers(w.Users), May: role,
		TLS: w.TLS || w.UnixSocket() != "", Idle: w.Idle, Longest: w.Longest, Log: log,
		Ways: file.ways, Site: file.site, Empty: file.whyEmpty, Names: net.DefaultResolver,
	}
	if o.Rules, err = rulesOf(cfg); err != nil {
		return nil, err
	}
	if o.Shown, err = maskOf(cfg); err != nil {
		return nil, err
	}
	if w.UserHeader != "" {
		if o.Proxy, err = proxyOf(w); err != nil {
			return nil, err
		}
	}
	if _, err := o.Users.List(); err != nil {
		return nil, fmt.Errorf("web.users: %w", err)
	}
	p := &Page{log: log}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	if err := os.MkdirAll(w.Directory, 0o750); err != nil {
		return nil, fmt.Errorf("web.directory: %w", err)
	}
	if p.book, err = notes.Open(filepath.Join(w.Directory, notesFile)); err != nil {
		return nil, err
	}
	o.Notes = p.book
	if p.server, err = web.New(o); err != nil {
		return nil, err
	}
	if err = p.listen(cfg); err != nil {
		return nil, err
	}
	return p, nil
}

func proxyOf(w *config.Web) (*web.Proxy, error) {
	uid, err := uidOf(w.ProxyUser)
	if err != nil {
		return nil, fmt.Errorf("web.proxy_user: %w", err)
	}
	p := &web.Proxy{User: w.UserHeader, Groups: w.GroupsHeader, Roles: map[string]web.Role{}, UID: uid}
	for group, word := range w.Roles {
		p.Roles[group], _ = web.ParseRole(string(word))
	}
	return p, nil
}

func uidOf(name string) (uint32, error) {
	number := name
	if u, err := user.Lookup(name); err == nil {
		number = u.Uid
	}
	uid, err := strconv.ParseUint(number, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("there is no user %q on this host", name)
	}
	return uint32(uid), nil
}

// listen opens the place where the page is.
func (p *Page) listen(cfg *config.Config) (err error) {
	w := &cfg.Web
	if path := w.UnixSocket(); path != "" {
		if p.listener, err = admin.Listen(path); err == nil {
			err = os.Chmod(path, 0o666) // whoever opens it has to say who he is, or the kernel says it of the proxy
		}
		p.where = path
		return err
	}
	if p.listener, err = net.Listen("tcp", w.Listen); err != nil {
		return fmt.Errorf("web.listen: %w", err)
	}
	p.where = "http://" + p.listener.Addr().String() + "/"
	if !w.TLS {
		return nil
	}
	p.where = "https://" + p.listener.Addr().String() + "/"
	tlsConfig, err := p.tls(cfg)
	if err != nil {
		return err
	}
	p.listener = tls.NewListener(p.listener, tlsConfig)
	return nil
}

func (p *Page) tls(cfg *config.Config) (*tls.Config, error) {
	w := &cfg.Web
	c := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if w.Certificate != "" {
		files := &certificateFiles{cert: w.Certificate, key: w.Key, log: p.log}
		if _, err := files.get(nil); err != nil {
			return nil, fmt.Errorf("web.certificate: %w", err)
		}
		c.GetCertificate = files.get
		return c, nil
	}
	names := []string{"localhost", cfg.Hostname}
	if at := w.Address().Addr(); !at.IsUnspecified() {
		names = append(names, at.String())
	}
	own, fingerprint, err := web.OwnCertificate(w.Directory, names, time.Now())
	if err != nil {
		return nil, err
	}
	p.log.Info("the page has a certificate that kanmon has made: compare its fingerprint with what the browser shows", "sha256", fingerprint)
	c.Certificates = []tls.Certificate{own}
	return c, nil
}

// Where is where the page is: a URL, or a path.
func (p *Page) Where() string { return p.where }

// Serve answers browsers until the context ends.
func (p *Page) Serve(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- p.server.Serve(p.listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), closing)
	defer cancel()
	err := p.server.Close(end)
	return errors.Join(err, <-served)
}

// Close gives back what OpenPage has taken. It is called behind Serve, or in place of it.
func (p *Page) Close() (err error) {
	if p.listener != nil {
		if closed := p.listener.Close(); closed != nil && !errors.Is(closed, net.ErrClosed) {
			err = closed
		}
	}
	if p.book != nil {
		err = errors.Join(err, p.book.Close())
	}
	return err
}
