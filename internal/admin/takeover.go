package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// A Takeover is that another kanmon of this host takes over what this one has: its files of state, and then what is new. It is over when the
// other one goes.
type Takeover interface {
	ID() string
	// Next waits for what the other one is to be told, and gives it as a line of JSON, a [Told]. At the end it returns [io.EOF].
	Next(context.Context) ([]byte, error)
	// Close says that the other one is gone. If it has not confirmed, everything is as before.
	Close()
}

// A Told is what the kanmon before would have written: rows of a part, in the part's form.
type Told struct {
	Takeover string          `json:"takeover,omitempty"` // of the first line alone: its name
	Part     string          `json:"part,omitempty"`
	Rows     json.RawMessage `json:"rows,omitempty"`
}

// own reports whether the other end is kanmon's own user, or root: nobody else may have its files.
func own(r *http.Request) bool {
	one := connectionOf(r.Context())
	return one != nil && ofView(r).view == nil && (one.uid == 0 || one.uid == int64(os.Geteuid()))
}

var errNotOwn = errors.New("only a kanmon of the same user takes over, or root's")

// takeOver answers with what the other kanmon is to be told, for as long as it listens.
func (s *Server) takeOver(w http.ResponseWriter, r *http.Request) {
	var none struct{}
	if !own(r) {
		s.refuse(w, http.StatusForbidden, errNotOwn)
		return
	}
	if !s.read(w, r, &none) {
		return
	}
	t, err := s.process.TakeOver(r.Context(), peerOf(r.Context()))
	if err != nil {
		s.refuseOrder(w, err)
		return
	}
	defer t.Close()
	connection := http.NewResponseController(w)
	w.Header().Set("Content-Type", "application/jsonl")
	err = errors.Join(connection.SetReadDeadline(time.Time{}), connection.SetWriteDeadline(time.Time{}))
	line, _ := json.Marshal(Told{Takeover: t.ID()}) // nothing in it can fail
	for err == nil {
		if _, err = w.Write(append(line, '\n')); err == nil {
			err = connection.Flush()
		}
		if err == nil {
			line, err = t.Next(r.Context())
		}
	}
}

func (s *Server) confirmTakeover(w http.ResponseWriter, r *http.Request) {
	var none struct{}
	if !own(r) {
		s.refuse(w, http.StatusForbidden, errNotOwn)
		return
	}
	if !s.read(w, r, &none) {
		return
	}
	begun, err := s.process.ConfirmTakeover(r.PathValue("takeover"))
	if err != nil {
		s.refuseOrder(w, err)
		return
	}
	s.answer(w, r, begun)
}

// A Taking is a [Takeover] as the other kanmon has it.
type Taking struct {
	client *Client
	id     string
	body   io.ReadCloser
	lines  *json.Decoder
	end    context.CancelFunc
}

// TakeOver asks the kanmon that runs for what it has. From then on it writes nothing, until the Taking is closed, or for good if that is
// confirmed.
func (c *Client) TakeOver(ctx context.Context) (*Taking, error) {
	endless := Client{c.socket, c.http, c.person}
	endless.http.Timeout = 0
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	begun := time.AfterFunc(takeoverPatience, end)
	req, err := http.NewRequestWithContext(life, http.MethodPost, "http://kanmon/v1/takeovers", strings.NewReader("{}"))
	if err != nil {
		end()
		return nil, err
	}
	resp, err := endless.http.Do(req)
	if err != nil {
		end()
		return nil, c.explain(ctx, err)
	}
	t := &Taking{client: c, body: resp.Body, lines: json.NewDecoder(resp.Body), end: end}
	if resp.StatusCode != http.StatusOK {
		defer t.Close()
		var f failure
		if err := t.lines.Decode(&f); err != nil || f.Error == "" {
			f.Error = "kanmon answered " + resp.Status
		}
		return nil, &Error{resp.StatusCode, errors.New(f.Error)}
	}
	first, err := t.Next()
	if err == nil && first.Takeover == "" {
		err = errors.New("it names no takeover")
	}
	if err == nil && !begun.Stop() {
		err = context.DeadlineExceeded
	}
	if err != nil {
		t.Close()
		return nil, fmt.Errorf("kanmon's answer is not understood: %w", err)
	}
	t.id = first.Takeover
	return t, nil
}

// takeoverPatience is for what the other kanmon has to write before.
const takeoverPatience = 30 * time.Second

// Confirm says that this kanmon has everything and takes what is new: the other one takes no more. Behind an error the other one goes on.
func (t *Taking) Confirm(ctx context.Context) (HandedOver, error) {
	return answer[HandedOver](ctx, t.client, http.MethodPost, "/v1/takeovers/"+t.id+"/confirm", struct{}{})
}

// Next waits for what the other kanmon tells. When that has ended it returns [io.EOF], or another error if it was cut.
func (t *Taking) Next() (told Told, err error) {
	err = t.lines.Decode(&told)
	return told, err
}

// Close ends it: the other kanmon is told no more, and goes on if it was not confirmed.
func (t *Taking) Close() {
	t.end()
	_ = t.body.Close() // nothing is lost: it was cut
}

// Process gives the process that listens on the socket.
func (c *Client) Process(ctx context.Context) (pid int, err error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.socket)
	if err != nil {
		return 0, c.explain(ctx, err)
	}
	defer func() { _ = conn.Close() }()
	cred := credOf(conn)
	if cred == nil {
		return 0, fmt.Errorf("socket %s: the kernel does not say who listens", c.socket)
	}
	return int(cred.Pid), nil
}
