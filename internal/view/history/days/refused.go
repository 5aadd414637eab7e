package days

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"kanmon/internal/view/history"
)

// A wanted says where the refusals of a day stand that a filter asks for, and what they are added up by.
type wanted struct {
	table, sums string
	condition
	of [len(whoseColumns)]any // the numbers that are asked for; nil: all
}

func (g *grouping) refusals(ctx context.Context, v *volume) (*wanted, error) {
	from := &wanted{table: "day_refusal", sums: "sum(count), min(first), max(last)"}
	var err error
	for _, is := range [...]struct{ column, text string }{{"class", g.of.Class}, {"shape", g.of.Shape}} {
		if err == nil && is.text != "" {
			err = from.named(ctx, v, is.column, is.text)
		}
	}
	first, last := rangeOf(v.day, g.of)
	single, known := v.single(ctx, g.of, &from.condition)
	summed, known2 := v.summed(ctx, first, last)
	if err = errors.Join(err, known, known2); err != nil {
		return nil, err
	}
	if single && v.level == counts { // sums alone are left, and say neither
		from.none = true
	}
	if v.level > counts && (single || !summed) {
		from.table = "day_trouble"
		begin := strconv.FormatInt(v.day.begin().UnixMilli(), 10)
		from.sums = "count(*), min(id) / 4096 + " + begin + ", max(id) / 4096 + " + begin
		from.and("id >= ? AND id < ? AND shape > 0", first, last)
	}
	for i, text := range [...]string{g.of.Tenant, g.of.Provider, ipOf(g.of.SendingIP)} {
		if text == "" {
			continue
		}
		n, ok, err := v.number(ctx, text)
		if err != nil {
			return nil, err
		}
		from.none = from.none || !ok
		from.of[i] = n
	}
	return from, nil
}

// summed reports whether a part of a day has all of it that there is: then its sums are those of the day.
func (v *volume) summed(ctx context.Context, first, last id) (bool, error) {
	var oldest, newest id
	err := v.f.QueryRowContext(ctx, "SELECT coalesce((SELECT min(id) FROM day_trouble), 0), coalesce((SELECT max(id) FROM day_trouble), -1)").Scan(&oldest, &newest)
	return first <= oldest && newest < last, err
}

// whose is what a row must be for it to be of those who are asked for, and of one of the columns more: -1 of none.
func (f *wanted) whose(of int) (where string, args []any) {
	per := 0
	for i, column := range whoseColumns {
		switch is := f.of[i]; {
		case is != nil:
			per |= 1 << i
			where, args = where+" AND "+column+" = ?", append(args, is)
		case i == of:
			per |= 1 << i
		case f.table == "day_refusal":
			where += " AND " + column + " = 0"
		}
	}
	if f.table == "day_refusal" {
		where += " AND per = " + strconv.Itoa(per)
	}
	return f.String() + where, append(slices.Clone(f.args), args...)
}

var whoseColumns = [...]string{"tenant", "provider", "ip"}

func (f *wanted) groups() (query string, args []any) {
	text := func(column string) string { return "(SELECT text FROM day_name WHERE id = " + column + ")" }
	where, args := f.whose(-1)
	return "SELECT class, rule, shape, " + text("class") + ", " + text("rule") + ", " + text("shape") + ", " + f.sums + " FROM " + f.table + " WHERE " + where +
		" GROUP BY class, rule, shape", args
}

// names asks for what a column has with one class, rule and shape. Of one tenant there are few: they are looked through. Else they are found by their shape.
func (f *wanted) names(column int) (query string, args []any) {
	where, args := f.whose(column)
	shape := "shape"
	if f.table == "day_refusal" && f.of[0] != nil {
		shape = "+shape"
	}
	return "SELECT DISTINCT " + whoseColumns[column] + " FROM " + f.table + " WHERE " + where + " AND class = ? AND rule = ? AND " + shape + " = ?", args
}

// single adds to a condition what sums of refusals do not tell: by which gateway they came, and what became of the mail. It reports whether there is any: of
// a day of one gateway there is none.
func (v *volume) single(ctx context.Context, of *history.Filter, c *condition) (bool, error) {
	needs := false
	if len(of.Outcomes) > 0 {
		needs = true
		if err := c.named(ctx, v, "outcome", of.Outcomes...); err != nil {
			return needs, err
		}
	}
	if of.Gateway == "" {
		return needs, nil
	}
	var has, others bool
	err := v.f.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM day_run WHERE gateway = ?1), EXISTS (SELECT 1 FROM day_run WHERE gateway <> ?1)", of.Gateway).Scan(&has, &others)
	if !has {
		c.none = true
	}
	if has && others {
		needs = true
		c.and("EXISTS (SELECT 1 FROM day_line o WHERE o.id = day_trouble.id AND o.run IN (SELECT id FROM day_run WHERE gateway = ?))", of.Gateway)
	}
	return needs, err
}
