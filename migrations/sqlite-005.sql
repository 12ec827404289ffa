-- How often a card or a person was asked about, by keyed fingerprint; and what was spent on inquiries, by day and account.
CREATE TABLE attempts (key TEXT PRIMARY KEY, until INTEGER, value TEXT NOT NULL, checksum INTEGER) STRICT, WITHOUT ROWID;
CREATE INDEX attempts_until ON attempts (until) WHERE until IS NOT NULL;
CREATE TABLE spend (key TEXT PRIMARY KEY, until INTEGER, value TEXT NOT NULL, checksum INTEGER) STRICT, WITHOUT ROWID;
CREATE INDEX spend_until ON spend (until) WHERE until IS NOT NULL;
