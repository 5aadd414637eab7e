package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A Fault is what is wrong with a database for history, and what would be right.
type Fault struct{ What, Cure string }

const (
	leastVersion = 140000
	// mostDrift is by how much the server's clock may differ from that of a gateway.
	mostDrift = time.Minute
)

// Faults connects to the database as who keeps history does, and says what would keep it from being kept there. It changes nothing.
func Faults(ctx context.Context, o Options) ([]Fault, error) {
	s, err := Open(o)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	ctx, end := context.WithTimeout(ctx, 2*connecting)
	defer end()
	tx, err := s.write.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if err != nil {
		return []Fault{unreached(err)}, nil
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // nothing was written
	return faultsIn(ctx, tx)
}

// unreached says why there is no connection.
func unreached(err error) Fault {
	f := Fault{err.Error(), "is the server up, and is it the one that database of [history] names?"}
	var of *pgconn.PgError
	if !errors.As(err, &of) {
		return f
	}
	switch of.Code {
	case "28P01", "28000":
		f.Cure = "set the password of database_password_file, or let the user in by pg_hba.conf of the server"
	case "3D000":
		f.Cure = "on the server: CREATE DATABASE NAME OWNER USER"
	}
	return f
}

func faultsIn(ctx context.Context, tx pgx.Tx) (all []Fault, err error) {
	var number int
	var text, user, database string
	var there, may, standby bool
	var at time.Time
	begun := time.Now()
	err = tx.QueryRow(ctx, `SELECT current_setting('server_version_num')::integer, current_setting('server_version'), current_user, current_database(),
		pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on', clock_timestamp(), n.oid IS NOT NULL,
		CASE WHEN n.oid IS NULL THEN has_database_privilege(current_database(), 'CREATE') ELSE pg_has_role(n.nspowner, 'USAGE') END
		FROM (SELECT 1) AS one LEFT JOIN pg_namespace n ON n.nspname = 'kanmon'`).Scan(&number, &text, &user, &database, &standby, &at, &there, &may)
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL: %w", err)
	}
	heard := time.Now()
	if number < leastVersion {
		all = append(all, Fault{"the server is PostgreSQL " + text, "want version 14 or later"})
	}
	if standby {
		all = append(all, Fault{"the server may only be read: it is a standby, or default_transaction_read_only is on", "name the server that is written to"})
	}
	switch {
	case !may && there:
		all = append(all, Fault{fmt.Sprintf("the schema kanmon of database %s belongs to another user than %s, who could not change its tables", database, user), fmt.Sprintf("ALTER SCHEMA kanmon OWNER TO %s, and its tables likewise", user)})
	case !may:
		all = append(all, Fault{fmt.Sprintf("the user %s may make no schema in database %s", user, database), fmt.Sprintf("ALTER DATABASE %s OWNER TO %s", database, user)})
	}
	if drift := max(begun.Sub(at), at.Sub(heard)); drift > mostDrift {
		all = append(all, Fault{fmt.Sprintf("the clock of the server and of this host differ by %s", drift.Round(time.Second)), "set both by NTP"})
	}
	if !there || !may {
		return all, nil
	}
	_, needs, err := version(ctx, tx)
	if err == nil && known(needs) != nil {
		all = append(all, Fault{fmt.Sprintf("a later kanmon has brought the tables to step %d, and this one knows %d", needs, len(steps)), "upgrade kanmon on this gateway"})
	}
	return all, err
}
