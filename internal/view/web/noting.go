package web

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"kanmon/internal/view/notes"
)

var noteRoutes = []route{
	{path: "POST /notes", role: Act, act: writeNote},
	{path: "POST /notes/{id}/end", role: Act, act: endNote},
}

var errNoNotes = &Problem{Status: http.StatusNotFound, Text: "No notes are kept."}

func writeNote(r *request) (done, error) {
	if r.server.Notes == nil {
		return done{}, errNoNotes
	}
	n := notes.Note{
		About: notes.Subject{Alarm: r.ask("alarm"), SendingIP: r.ask("sending_ip"), Provider: r.ask("provider"), Tenant: r.ask("tenant"), Of: r.ask("of")},
		At:    r.now, By: r.Who.Name, Text: r.ask("text"),
	}
	lasts, err := r.lasting()
	if err != nil {
		return done{}, err
	}
	said := "The note is there."
	if lasts > 0 {
		n.Until = r.now.Add(lasts)
		said = "It is acknowledged until " + n.Until.Local().Format("2006-01-02 15:04") + "; nothing else changes."
	}
	if err := r.server.Notes.Write(r.Context(), n); err != nil {
		return done{}, err
	}
	return done{local(r.ask("back")), said}, nil
}

func endNote(r *request) (done, error) {
	if r.server.Notes == nil {
		return done{}, errNoNotes
	}
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return done{}, errors.New("that is no note")
	}
	return done{local(r.ask("back")), "The acknowledgement is over."}, r.server.Notes.End(r.Context(), id, r.now.Add(-time.Millisecond))
}
