package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"kanmon/internal/admin"
)

// printSeen shows how others see a sending IP: its names, and what public lists say.
func printSeen(w io.Writer, all []admin.Sighting) error {
	if len(all) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(w, "\nHow others see it"); err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SEEN BY\tSTATE\tSINCE\tASKED\tANSWER")
	for i := range all {
		s := &all[i]
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", orDash(s.List, "its names"), s.State, when(s.Since), when(s.Asked), answerOf(s))
	}
	return table.Flush()
}

// answerOf says what the DNS answers, what is wrong with it, and why the last question had no answer.
func answerOf(s *admin.Sighting) string {
	var parts []string
	for _, part := range [...]string{strings.Join(append(s.Names, s.Answers...), " "), s.Why, s.Fails} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return orDash(strings.Join(parts, "; "), "-")
}
