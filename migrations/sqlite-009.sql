-- Payment accounts, whose they are, and what was paid from balance.
CREATE TABLE accounts (key TEXT PRIMARY KEY, until INTEGER, value TEXT NOT NULL, checksum INTEGER) STRICT, WITHOUT ROWID;
CREATE INDEX accounts_until ON accounts (until) WHERE until IS NOT NULL;
