-- How the halves of payments differ, by payment and kind; days of which a channel's statement was read; what is to be told to whoever
-- listens. They are found by name.
CREATE TABLE mismatches (key TEXT PRIMARY KEY, until INTEGER, value TEXT NOT NULL, checksum INTEGER) STRICT, WITHOUT ROWID;
CREATE INDEX mismatches_until ON mismatches (until) WHERE until IS NOT NULL;
CREATE TABLE statement_days (key TEXT PRIMARY KEY, until INTEGER, value TEXT NOT NULL, checksum INTEGER) STRICT, WITHOUT ROWID;
CREATE INDEX statement_days_until ON statement_days (until) WHERE until IS NOT NULL;
CREATE TABLE webhooks (key TEXT PRIMARY KEY, until INTEGER, value TEXT NOT NULL, checksum INTEGER) STRICT, WITHOUT ROWID;
CREATE INDEX webhooks_until ON webhooks (until) WHERE until IS NOT NULL;
