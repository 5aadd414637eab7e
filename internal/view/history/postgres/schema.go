package postgres

// A step changes the tables. Gateways are upgraded one after the other, so a step adds what is new (a column that may be
// NULL, as those before write it so), and what is old goes with a step of a later release:
// needs is the step that a program must know at least that works with the tables from then on.
type step struct {
	needs int
	sql   string
}

var steps = []step{{1, `
	CREATE SEQUENCE line_seq;
	CREATE TABLE run (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, gateway text NOT NULL, run text NOT NULL, UNIQUE (gateway, run));
	CREATE TABLE seen (day date NOT NULL, run integer NOT NULL, first bigint NOT NULL, last bigint NOT NULL, PRIMARY KEY (day, run, first));
	CREATE TABLE mark (host text NOT NULL, source text NOT NULL, file text NOT NULL, octets bigint NOT NULL, at bigint NOT NULL, PRIMARY KEY (host, source));
	CREATE TABLE part (level smallint NOT NULL, day date NOT NULL, PRIMARY KEY (level, day));
	CREATE TABLE state (day date NOT NULL, key text NOT NULL, value bigint NOT NULL, PRIMARY KEY (day, key));

	CREATE TABLE line (
		level smallint NOT NULL, day date NOT NULL, seq bigint NOT NULL, at bigint NOT NULL, run integer NOT NULL, line bigint NOT NULL,
		kind smallint NOT NULL, tenant text NOT NULL, provider text NOT NULL, ip text NOT NULL, outcome text NOT NULL, rescued boolean NOT NULL,
		mail bigint NOT NULL, terms bigint[] NOT NULL, raw bytea NOT NULL, PRIMARY KEY (level, day, run, line)
	) PARTITION BY LIST (level);
	CREATE TABLE line_news PARTITION OF line FOR VALUES IN (0);
	CREATE TABLE line_trouble PARTITION OF line FOR VALUES IN (1) PARTITION BY RANGE (day);
	CREATE TABLE line_detail PARTITION OF line FOR VALUES IN (2) PARTITION BY RANGE (day);
	CREATE INDEX line_time ON line (at, seq);
	CREATE INDEX line_tenant ON line (tenant, at, seq);
	CREATE INDEX line_ip ON line (ip, provider, at, seq);
	CREATE INDEX line_terms ON line USING gin (terms);

	CREATE TABLE waits (
		mail bigint PRIMARY KEY, tenant text NOT NULL, provider text NOT NULL, ip text NOT NULL, first bigint NOT NULL, last bigint NOT NULL,
		size bigint NOT NULL, deferred boolean NOT NULL, named boolean NOT NULL
	);
	CREATE INDEX waits_last ON waits (last);
	CREATE TABLE waits_for (key bigint NOT NULL, mail bigint NOT NULL, who bigint NOT NULL, PRIMARY KEY (key, mail));
	CREATE INDEX waits_for_mail ON waits_for (mail, who);
	CREATE TABLE rescued (session bigint NOT NULL, number integer NOT NULL, day date NOT NULL, PRIMARY KEY (session, number));

	CREATE TABLE tally (
		unit smallint NOT NULL, of smallint NOT NULL, day date NOT NULL, at integer NOT NULL, tenant text NOT NULL, gateway text NOT NULL,
		provider text NOT NULL, ip text NOT NULL, outcome text NOT NULL, class text NOT NULL, attempts bigint NOT NULL, first bigint NOT NULL,
		recipients bigint NOT NULL, octets bigint NOT NULL, rescued bigint NOT NULL, tls bigint NOT NULL,
		PRIMARY KEY (unit, of, day, at, tenant, gateway, provider, ip, outcome, class)
	);
	CREATE TABLE account (
		day date NOT NULL, tenant text NOT NULL, account text NOT NULL, gateway text NOT NULL, outcome text NOT NULL, class text NOT NULL,
		attempts bigint NOT NULL, first bigint NOT NULL, recipients bigint NOT NULL, octets bigint NOT NULL, rescued bigint NOT NULL, tls bigint NOT NULL,
		PRIMARY KEY (day, tenant, account, gateway, outcome, class)
	);
	CREATE TABLE took (
		unit smallint NOT NULL, day date NOT NULL, at integer NOT NULL, phase text NOT NULL, provider text NOT NULL, ip text NOT NULL, counts bigint[] NOT NULL,
		PRIMARY KEY (unit, day, at, phase, provider, ip)
	);
	CREATE TABLE shape (
		hash bigint PRIMARY KEY, class text NOT NULL, rule text NOT NULL, shape text NOT NULL, first bigint NOT NULL,
		gateway text NOT NULL, run text NOT NULL, line bigint NOT NULL, last bigint NOT NULL
	);
	CREATE INDEX shape_last ON shape (last);
	CREATE TABLE refused (
		day date NOT NULL, at integer NOT NULL, shape bigint NOT NULL, tenant text NOT NULL, gateway text NOT NULL, provider text NOT NULL, ip text NOT NULL,
		outcome text NOT NULL, count bigint NOT NULL, first bigint NOT NULL, last bigint NOT NULL,
		PRIMARY KEY (day, at, shape, tenant, gateway, provider, ip, outcome)
	);
	CREATE INDEX refused_shape ON refused (shape, day);
	CREATE TABLE search (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at bigint NOT NULL, by text NOT NULL, what text NOT NULL, why text NOT NULL);
`}}
