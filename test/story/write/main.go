// Command write writes two weeks of records that are made up, to look at or to import: one file for each gateway, and what stories are in it.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"kanmon/test/story"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "write:", err)
		os.Exit(1)
	}
}

func run() error {
	var o story.Options
	dir := flag.String("dir", ".", "where the files are written")
	flag.Uint64Var(&o.Seed, "seed", 1, "of what happens by chance")
	flag.IntVar(&o.Days, "days", story.Fortnight, "how many; stories that begin later are not told")
	flag.IntVar(&o.PerDay, "per-day", 1000, "attempts a day of which nothing is told")
	flag.BoolVar(&o.Without, "without-stories", false, "only these")
	flag.Func("addresses", "as in [journal]: clear, hashed or domain", func(word string) error { return o.Addresses.UnmarshalText([]byte(word)) })
	key := flag.String("hash-key", "", "of hashed addresses, at least 16 octets")
	now := flag.Bool("until-now", false, "they end with this minute, and not at a date of their own")
	flag.Parse()
	o.HashKey = []byte(*key)
	if *now {
		o.First = story.Before(time.Now(), o.Days)
	}
	l, err := story.Write(*dir, o)
	if err != nil {
		return err
	}
	for _, name := range l.Files {
		fmt.Println(name)
	}
	fmt.Printf("%s to %s: %d lines, %d attempts, %d stories\n", l.From.Format(time.RFC3339), l.To.Format(time.RFC3339), l.Lines, l.Attempts, len(l.Stories))
	for _, s := range l.Stories {
		fmt.Printf("%s  %-20s %4d mails  %s\n", s.Begin.Format(time.RFC3339), s.Name, len(s.Mails), s.What)
	}
	return nil
}
