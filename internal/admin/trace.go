package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// A Tracing is the dialogue of sessions while it happens.
type Tracing interface {
	// Next waits for lines and gives them, until the context ends.
	Next(context.Context) ([]byte, error)
	Close()
}

// tracePatience is how long a reader of a trace may read nothing. It costs nobody but itself.
const tracePatience = 10 * time.Minute

// What only a list of sessions can be asked by.
var listParameters = []string{"state", "held", "most"}

func traceQuery(values url.Values) (SessionQuery, error) {
	for _, name := range listParameters {
		if values.Has(name) {
			known := slices.DeleteFunc(slices.Clone(sessionParameters), func(n string) bool { return slices.Contains(listParameters, n) })
			return SessionQuery{}, fmt.Errorf("%q is nothing that a trace can be asked by: want one of %q", name, known)
		}
	}
	return sessionQuery(values)
}

// trace answers with the session log of what is asked for, line by line, for as long as somebody reads it.
func (s *Server) trace(w http.ResponseWriter, r *http.Request) {
	q, err := traceQuery(r.URL.Query())
	if err != nil {
		s.refuse(w, http.StatusBadRequest, err)
		return
	}
	t, err := s.process.Trace(q)
	if err != nil {
		s.refuseOrder(w, err)
		return
	}
	defer t.Close()
	s.log.Info("traced by the operator", "asked", r.URL.RawQuery, "who", peerOf(r.Context()))
	connection := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	err = errors.Join(connection.SetReadDeadline(time.Time{}), connection.SetWriteDeadline(time.Time{}), connection.Flush())
	for err == nil {
		var lines []byte
		if lines, err = t.Next(r.Context()); err == nil {
			_ = connection.SetWriteDeadline(time.Now().Add(tracePatience)) // what fails here fails with the next line
			_, err = w.Write(lines)
			err = errors.Join(err, connection.Flush())
		}
	}
}

// Trace writes the dialogue of the sessions that are asked for, from now on, until the context ends.
func (c *Client) Trace(ctx context.Context, q SessionQuery, to io.Writer) error {
	hasty := Client{c.socket, c.http, c.person}
	hasty.http.Timeout = aliveWithin
	if _, err := hasty.Status(ctx); err != nil {
		return err
	}
	endless := Client{c.socket, c.http, c.person}
	endless.http.Timeout = 0
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://kanmon/v1/trace"+q.asking(), http.NoBody)
	if err != nil {
		return err
	}
	c.sign(req)
	resp, err := endless.http.Do(req)
	if err != nil {
		return endless.explain(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		var f failure
		if err := json.NewDecoder(resp.Body).Decode(&f); err != nil || f.Error == "" {
			return fmt.Errorf("kanmon answered %s", resp.Status)
		}
		return errors.New(f.Error)
	}
	_, err = io.Copy(to, resp.Body)
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(errors.New("kanmon has ended the trace: it has stopped, or nothing was read of it for long"), err)
}
