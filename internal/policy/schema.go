package policy

import "kanmon/internal/store"

// schema is what the file has; package store says how it may change. What its third step has the state in, and what nobody reads since the
// fourth, the step of a later release removes.
var schema = store.Schema{Part: "policy", Steps: []string{
	`CREATE TABLE policy_state (
		id    INTEGER PRIMARY KEY CHECK (id = 1), -- there is one
		state TEXT    NOT NULL                    -- JSON
	);
	CREATE TABLE policy_audit (
		id      INTEGER PRIMARY KEY AUTOINCREMENT, -- in the order of the changes, whatever the clock said
		at_ms   INTEGER NOT NULL,                  -- wall clock, Unix
		made_by TEXT    NOT NULL,
		tenant  TEXT    NOT NULL,
		account TEXT    NOT NULL,                  -- '': the tenant itself
		did     TEXT    NOT NULL,
		was     TEXT    NOT NULL,
		became  TEXT    NOT NULL,
		why     TEXT    NOT NULL
	);
	CREATE INDEX policy_audit_of ON policy_audit (tenant, account, id);
	CREATE INDEX policy_audit_at ON policy_audit (at_ms)`,
	`CREATE TABLE policy_part (                -- the state, in pieces: nothing is locked for longer than one of them takes
		generation INTEGER NOT NULL,           -- of the state; one that policy_saved does not name is not whole
		number     INTEGER NOT NULL,
		state      TEXT    NOT NULL,           -- JSON
		PRIMARY KEY (generation, number)
	);
	CREATE TABLE policy_saved (
		id         INTEGER PRIMARY KEY CHECK (id = 1),
		generation INTEGER NOT NULL
	);
	INSERT INTO policy_part SELECT 1, 1, state FROM policy_state;
	INSERT INTO policy_saved SELECT 1, 1 FROM policy_state;
	DROP TABLE policy_state;
	CREATE TABLE policy_order (                -- what people, and limits that block, have said since
		id   INTEGER PRIMARY KEY AUTOINCREMENT,
		said TEXT NOT NULL                     -- JSON
	);
	ALTER TABLE policy_audit ADD COLUMN by_rule INTEGER NOT NULL DEFAULT 0; -- a limit, not a person
	UPDATE policy_audit SET by_rule = 1 WHERE made_by LIKE 'limit %';
	CREATE INDEX policy_audit_by_rule ON policy_audit (by_rule, id)`,
	`ALTER TABLE policy_audit ADD COLUMN ip TEXT NOT NULL DEFAULT '';       -- '': it is of a sender
	ALTER TABLE policy_audit ADD COLUMN provider TEXT NOT NULL DEFAULT '';  -- of the IP's standing; '': all of them
	CREATE INDEX policy_audit_of_ip ON policy_audit (ip, id)`,
	rows + rowsOfParts + rowsOfOrders,
}}

// rows is the state as rows of what it is about, each written when that has changed.
const rows = `CREATE TABLE policy_sender (
		id      INTEGER PRIMARY KEY,
		tenant  TEXT NOT NULL,
		account TEXT NOT NULL,                 -- '': the tenant itself
		state   TEXT NOT NULL,                 -- JSON; of rows that are made of pieces with the history
		history BLOB,
		UNIQUE (tenant, account)
	);
	CREATE TABLE policy_clock (                -- as of when all rows are
		id    INTEGER PRIMARY KEY CHECK (id = 1),
		state TEXT NOT NULL                    -- JSON
	);
	CREATE TABLE policy_debt (
		name     TEXT    NOT NULL,             -- of the limit
		measure  TEXT    NOT NULL,
		of_whom  TEXT    NOT NULL,
		to_whom  TEXT    NOT NULL,
		owes_ns  INTEGER NOT NULL,
		taken_ms INTEGER NOT NULL,             -- wall clock, Unix
		over_ms  INTEGER NOT NULL,
		PRIMARY KEY (name, measure, of_whom, to_whom)
	) WITHOUT ROWID;
	CREATE INDEX policy_debt_over ON policy_debt (over_ms);
	CREATE TABLE policy_given (                -- amounts of limits that people have set
		tenant  TEXT    NOT NULL,
		account TEXT    NOT NULL,
		name    TEXT    NOT NULL,
		amount  INTEGER NOT NULL,
		PRIMARY KEY (tenant, account, name)
	) WITHOUT ROWID;
	CREATE TABLE policy_mark (                 -- lists and forwarders that people have named
		tenant  TEXT NOT NULL,
		account TEXT NOT NULL,
		state   TEXT NOT NULL,                 -- JSON
		PRIMARY KEY (tenant, account)
	) WITHOUT ROWID;
`

// rowsOfParts makes them of the state that is in pieces. Lists of which a piece has nothing are null there.
const rowsOfParts = `
	INSERT INTO policy_clock SELECT 1, coalesce(json_remove(json_extract(state, '$.containment'), '$.subjects'), '{}')
		FROM policy_part JOIN policy_saved USING (generation) ORDER BY number LIMIT 1;
	INSERT OR REPLACE INTO policy_sender (tenant, account, state)
		SELECT json_extract(one.value, '$.tenant'), coalesce(json_extract(one.value, '$.account'), ''), one.value
		FROM policy_part AS p JOIN policy_saved USING (generation), json_each(p.state, '$.containment.subjects') AS one
		WHERE one.type = 'object' ORDER BY p.number;
	INSERT OR REPLACE INTO policy_debt
		SELECT name, measure, of_whom, to_whom, owes_ns, taken_ms, taken_ms + owes_ns / 1000000 + 1 FROM (
			SELECT json_extract(one.value, '$.limit') AS name, json_extract(one.value, '$.measure') AS measure,
				json_extract(one.value, '$.of') AS of_whom, coalesce(json_extract(one.value, '$.to'), '') AS to_whom,
				json_extract(one.value, '$.owes_ns') AS owes_ns,
				CAST((julianday(json_extract(p.state, '$.limits.taken')) - 2440587.5) * 86400000 AS INTEGER) AS taken_ms
			FROM policy_part AS p JOIN policy_saved USING (generation), json_each(p.state, '$.limits.debts') AS one WHERE one.type = 'object');
	INSERT OR REPLACE INTO policy_given
		SELECT json_extract(one.value, '$.tenant'), coalesce(json_extract(one.value, '$.account'), ''), json_extract(one.value, '$.limit'),
			json_extract(one.value, '$.amount')
		FROM policy_part AS p JOIN policy_saved USING (generation), json_each(p.state, '$.given') AS one WHERE one.type = 'object';
	INSERT OR REPLACE INTO policy_mark
		SELECT json_extract(one.value, '$.tenant'), coalesce(json_extract(one.value, '$.account'), ''), one.value
		FROM policy_part AS p JOIN policy_saved USING (generation), json_each(p.state, '$.marks') AS one WHERE one.type = 'object';
`

// rowsOfOrders brings them up to date with what was said since, in its order.
const rowsOfOrders = `
	INSERT OR IGNORE INTO policy_clock
		SELECT 1, json_object('version', 1, 'at', strftime('%Y-%m-%dT%H:%M:%SZ', 'now')) WHERE EXISTS (SELECT 1 FROM policy_order);
	INSERT OR REPLACE INTO policy_sender (tenant, account, state)
		SELECT json_extract(said, '$.sender.tenant'), coalesce(json_extract(said, '$.sender.account'), ''), json_extract(said, '$.sender')
		FROM policy_order WHERE json_extract(said, '$.sender') IS NOT NULL ORDER BY id;
	INSERT OR REPLACE INTO policy_given
		SELECT json_extract(said, '$.given.tenant'), coalesce(json_extract(said, '$.given.account'), ''), json_extract(said, '$.given.limit'),
			json_extract(said, '$.given.amount')
		FROM policy_order WHERE json_extract(said, '$.given') IS NOT NULL ORDER BY id;
	DELETE FROM policy_given WHERE amount = 0;
	INSERT OR REPLACE INTO policy_mark
		SELECT json_extract(of_whom, '$.tenant'), coalesce(json_extract(of_whom, '$.account'), ''), mark FROM (
			SELECT id, coalesce(json_extract(said, '$.mark'), json_extract(said, '$.unmarked')) AS of_whom, coalesce(json_extract(said, '$.mark'), '') AS mark
			FROM policy_order)
		WHERE of_whom IS NOT NULL ORDER BY id;
	DELETE FROM policy_mark WHERE state = ''`

// Schema is the version of the schema that this kanmon makes.
func Schema() int { return schema.Version() }
