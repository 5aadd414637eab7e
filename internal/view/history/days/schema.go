package days

import "kanmon/internal/store"

// What a day has. Times of day are milliseconds; names are numbers of day_name. In day_count the tenant 0 is all tenants, and the provider 0 and the ip 0
// are all of those: what is asked most is added up already. So it is in day_refusal, where per says which of the three a row is of, see [perTenant].
var daySchema = store.Schema{Part: "day", Vast: true, Steps: []string{`
	CREATE TABLE day_state (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
	CREATE TABLE day_mark (source TEXT PRIMARY KEY, number INTEGER NOT NULL, file TEXT NOT NULL, offset INTEGER NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
	CREATE TABLE day_owed (generation INTEGER NOT NULL, data BLOB NOT NULL);
	CREATE TABLE day_name (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
	CREATE TABLE day_run (id INTEGER PRIMARY KEY, gateway TEXT NOT NULL, run TEXT NOT NULL, UNIQUE (gateway, run));
	CREATE TABLE day_seen (run INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (run, first)) WITHOUT ROWID;
	CREATE TABLE day_block (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
	CREATE TABLE day_line (
		id INTEGER PRIMARY KEY, run INTEGER NOT NULL, line INTEGER NOT NULL, kind INTEGER NOT NULL, place INTEGER NOT NULL,
		tenant INTEGER NOT NULL, provider INTEGER NOT NULL, ip INTEGER NOT NULL, outcome INTEGER NOT NULL, class INTEGER NOT NULL,
		flags INTEGER NOT NULL, mail INTEGER
	);
	CREATE UNIQUE INDEX day_line_key ON day_line (run, line);
	CREATE INDEX day_line_news ON day_line (kind, id) WHERE kind > 2;
	CREATE TABLE day_term (term INTEGER NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (term, id)) WITHOUT ROWID;
	CREATE TABLE day_trouble (
		id INTEGER NOT NULL, n INTEGER NOT NULL, kind INTEGER NOT NULL, shape INTEGER NOT NULL, tenant INTEGER NOT NULL, provider INTEGER NOT NULL,
		ip INTEGER NOT NULL, outcome INTEGER NOT NULL, class INTEGER NOT NULL, rule INTEGER NOT NULL, PRIMARY KEY (id, n)
	) WITHOUT ROWID;
	CREATE INDEX day_trouble_shape ON day_trouble (shape, id);
	CREATE INDEX day_trouble_class ON day_trouble (class, id);
	CREATE TABLE day_rescued (session INTEGER NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (session, number)) WITHOUT ROWID;
	CREATE TABLE day_count (
		unit INTEGER NOT NULL, tenant INTEGER NOT NULL, at INTEGER NOT NULL, gateway INTEGER NOT NULL, provider INTEGER NOT NULL, ip INTEGER NOT NULL,
		outcome INTEGER NOT NULL, class INTEGER NOT NULL, attempts INTEGER NOT NULL, first INTEGER NOT NULL, recipients INTEGER NOT NULL,
		octets INTEGER NOT NULL, rescued INTEGER NOT NULL, tls INTEGER NOT NULL,
		PRIMARY KEY (unit, tenant, at, gateway, provider, ip, outcome, class)
	) WITHOUT ROWID;
	CREATE INDEX day_count_provider ON day_count (provider, ip) WHERE unit = 1440 AND tenant > 0;
	CREATE TABLE day_account (
		tenant INTEGER NOT NULL, account TEXT NOT NULL, gateway INTEGER NOT NULL, outcome INTEGER NOT NULL, class INTEGER NOT NULL,
		attempts INTEGER NOT NULL, first INTEGER NOT NULL, recipients INTEGER NOT NULL, octets INTEGER NOT NULL, rescued INTEGER NOT NULL, tls INTEGER NOT NULL,
		PRIMARY KEY (tenant, account, gateway, outcome, class)
	) WITHOUT ROWID;
	CREATE TABLE day_took (
		unit INTEGER NOT NULL, phase INTEGER NOT NULL, provider INTEGER NOT NULL, at INTEGER NOT NULL, ip INTEGER NOT NULL,
		c0 INTEGER NOT NULL, c1 INTEGER NOT NULL, c2 INTEGER NOT NULL, c3 INTEGER NOT NULL, c4 INTEGER NOT NULL, c5 INTEGER NOT NULL, c6 INTEGER NOT NULL,
		c7 INTEGER NOT NULL, c8 INTEGER NOT NULL, c9 INTEGER NOT NULL, c10 INTEGER NOT NULL, c11 INTEGER NOT NULL, c12 INTEGER NOT NULL,
		c13 INTEGER NOT NULL, c14 INTEGER NOT NULL, PRIMARY KEY (unit, phase, provider, at, ip)
	) WITHOUT ROWID;
	CREATE TABLE day_refusal (
		class INTEGER NOT NULL, rule INTEGER NOT NULL, shape INTEGER NOT NULL, tenant INTEGER NOT NULL, provider INTEGER NOT NULL, ip INTEGER NOT NULL,
		count INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (class, rule, shape, tenant, provider, ip)
	) WITHOUT ROWID;
`, `
	ALTER TABLE day_refusal RENAME TO day_refusal_before;
	CREATE TABLE day_refusal (
		per INTEGER NOT NULL, tenant INTEGER NOT NULL, provider INTEGER NOT NULL, ip INTEGER NOT NULL, class INTEGER NOT NULL, rule INTEGER NOT NULL,
		shape INTEGER NOT NULL, count INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
		PRIMARY KEY (per, tenant, provider, ip, class, rule, shape)
	) WITHOUT ROWID;
	INSERT INTO day_refusal
		SELECT per, CASE WHEN per & 1 THEN tenant ELSE 0 END, CASE WHEN per & 2 THEN provider ELSE 0 END, CASE WHEN per & 4 THEN ip ELSE 0 END,
			class, rule, shape, sum(count), min(first), max(last)
		FROM day_refusal_before, (SELECT 0 AS per UNION ALL VALUES (1), (2), (3), (4), (5), (6), (7)) GROUP BY 1, 2, 3, 4, class, rule, shape;
	DROP TABLE day_refusal_before;
	CREATE INDEX day_refusal_shape ON day_refusal (shape, per, provider);
	CREATE INDEX day_line_tenant ON day_line (tenant, provider) WHERE kind = 1;
`}}

// What spans days. All of it is made of what the days have, and can be made anew.
var mainSchema = store.Schema{Part: "main", Vast: true, Steps: []string{`
	CREATE TABLE main_day (day INTEGER PRIMARY KEY, generation INTEGER NOT NULL);
	CREATE TABLE main_mark (source TEXT PRIMARY KEY, number INTEGER NOT NULL, file TEXT NOT NULL, offset INTEGER NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
	CREATE TABLE main_waits (
		mail INTEGER PRIMARY KEY, tenant TEXT NOT NULL, provider TEXT NOT NULL, ip TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
		size INTEGER NOT NULL, deferred INTEGER NOT NULL, named INTEGER NOT NULL
	);
	CREATE INDEX main_waits_last ON main_waits (last);
	CREATE TABLE main_for (key INTEGER NOT NULL, mail INTEGER NOT NULL, who INTEGER NOT NULL, PRIMARY KEY (key, mail)) WITHOUT ROWID;
	CREATE INDEX main_for_mail ON main_for (mail, who);
	CREATE TABLE main_shape (
		hash INTEGER PRIMARY KEY, class TEXT NOT NULL, rule TEXT NOT NULL, shape TEXT NOT NULL, first INTEGER NOT NULL,
		gateway TEXT NOT NULL, run TEXT NOT NULL, line INTEGER NOT NULL, last INTEGER NOT NULL
	);
	CREATE INDEX main_shape_last ON main_shape (last);
`}}

var searchSchema = store.Schema{Part: "search", Vast: true, Steps: []string{
	`CREATE TABLE search_done (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, by TEXT NOT NULL, what TEXT NOT NULL, why TEXT NOT NULL)`,
}}
