package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// writeTables writes a CSV file for each figure, and one for the numbers of the held sessions.
func (r *results) writeTables(folder string) error {
	tables := map[string][][]string{}
	if r.Fig4 != nil {
		tables["fig4.csv"] = fig4Table(r.Fig4)
		tables["fig4-delays.csv"] = sharesTable("setup")
		for _, run := range r.Fig4 {
			tables["fig4-delays.csv"] = append(tables["fig4-delays.csv"], shareRows(run.Name, run.after)...)
		}
	}
	if r.Mass != nil {
		tables["mass.csv"], tables["mass-times.csv"] = sharesTable("setup"), massTimesTable(r.Mass)
		for _, run := range r.Mass {
			tables["mass.csv"] = append(tables["mass.csv"], shareRows(run.Name, run.after)...)
		}
	}
	if r.Scale != nil {
		tables["scale.csv"], tables["scale-delays.csv"] = scaleTable(r.Scale), sharesTable("window")
		for _, w := range r.Scale.Windows {
			tables["scale-delays.csv"] = append(tables["scale-delays.csv"], shareRows(w.Title, w.mails)...)
		}
	}
	if r.Memory != nil {
		tables["memory.csv"] = memoryTable(r.Memory)
	}
	if r.Listing != nil {
		tables["listing.csv"] = listingTable(r.Listing)
	}
	if r.Restricted != nil {
		tables["restricted.csv"] = restrictedTable(r.Restricted)
	}
	if r.Compromised != nil {
		tables["compromised.csv"] = compromisedTable(r.Compromised)
	}
	var errs []error
	for name, rows := range tables {
		errs = append(errs, writeTable(filepath.Join(folder, name), rows))
	}
	return errors.Join(errs...)
}

func writeTable(path string, rows [][]string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(csv.NewWriter(file).WriteAll(rows), file.Close())
}

// fig4Table has a line for each set-up and second: first receipts of each tenant's normal mail from the start up to then.
func fig4Table(runs []*fig4Run) [][]string {
	rows := [][]string{{"setup", "second"}}
	for tenant := 1; tenant <= tenants; tenant++ {
		rows[0] = append(rows[0], fmt.Sprintf("delivered_tenant_%d", tenant))
	}
	for _, run := range runs {
		first := len(rows)
		for tenant := 1; tenant <= tenants; tenant++ {
			for second, count := range cumulative(run.normal, func(m mail) bool { return m.tenant == tenant }, run.lasted) {
				if tenant == 1 {
					rows = append(rows, []string{run.Name, strconv.Itoa(second)})
				}
				rows[first+second] = append(rows[first+second], strconv.Itoa(count))
			}
		}
	}
	return rows
}

// sharesTable is the head of a table of distributions: so many per cent of the mails arrived with no larger delay.
func sharesTable(of string) [][]string { return [][]string{{of, "percent", "delay_s"}} }

func shareRows(name string, mails []mail) (rows [][]string) {
	for _, point := range distribution(mails) {
		rows = append(rows, []string{name, strconv.Itoa(point.percent), seconds(point.delay)})
	}
	return rows
}

// massTimesTable has a line for each second in which mails of the other tenants were due.
func massTimesTable(runs []*massRun) [][]string {
	rows := [][]string{{"setup", "due_second", "mails", "not_arrived", "median_delay_s", "largest_delay_s"}}
	for _, run := range runs {
		for _, s := range bySecond(run.others, run.end) {
			d := s.delays
			rows = append(rows, []string{
				run.Name, strconv.Itoa(s.at), strconv.Itoa(d.N), strconv.Itoa(d.Late), seconds(d.Median), seconds(d.Max),
			})
		}
	}
	return rows
}

func scaleTable(run *scaleRun) [][]string {
	rows := [][]string{{
		"window", "held_sessions", "mails", "received_per_s", "median_delay_s", "p95_delay_s", "largest_delay_s", "cpu_percent_of_core", "resident_kib",
	}}
	for _, w := range run.Windows {
		rows = append(rows, []string{
			w.Title, strconv.Itoa(w.Held), strconv.Itoa(w.Delay.N), fmt.Sprintf("%.2f", w.Rate),
			seconds(w.Delay.Median), seconds(w.Delay.P95), seconds(w.Delay.Max), fmt.Sprintf("%.1f", w.CPU), strconv.Itoa(w.Resident),
		})
	}
	return rows
}

func memoryTable(runs []memoryRun) [][]string {
	rows := [][]string{{"sessions", "heap_bytes_each", "stack_bytes_each", "opened_s"}}
	for _, m := range runs {
		rows = append(rows, []string{strconv.Itoa(m.Sessions), fmt.Sprintf("%.0f", m.Heap), fmt.Sprintf("%.0f", m.Stack), seconds(m.Opened)})
	}
	return rows
}

// listingTable has a line for each set-up and second: mails from the start up to then.
func listingTable(runs []*listingRun) [][]string {
	rows := [][]string{{"setup", "second", "due", "delivered", "bounced"}}
	for _, run := range runs {
		due, bounced := upToSeconds(dueTimes(run.mails), run.lasted), upToSeconds(returns(run.mails), run.lasted)
		for second, delivered := range cumulative(run.mails, allMails, run.lasted) {
			rows = append(rows, []string{
				run.Name, strconv.Itoa(second), strconv.Itoa(due[second]), strconv.Itoa(delivered), strconv.Itoa(bounced[second]),
			})
		}
	}
	return rows
}

// compromisedTable has a line for each set-up and second: the compromised account's mails that an MX had seen by then, and the other
// tenants' that had arrived.
func compromisedTable(runs []*compromisedRun) [][]string {
	rows := [][]string{{"setup", "second", "compromised_at_mxs", "of_them_unknown_recipients", "others_delivered"}}
	for _, run := range runs {
		delivered := upToSeconds(run.clean, run.lasted)
		for second := range delivered {
			mails, unknown := run.Attack.before(time.Duration(second) * time.Second)
			rows = append(rows, []string{
				run.Name, strconv.Itoa(second), strconv.Itoa(mails), strconv.Itoa(unknown), strconv.Itoa(delivered[second]),
			})
		}
	}
	return rows
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) }
