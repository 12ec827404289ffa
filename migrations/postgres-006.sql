-- How the halves of payments differ, by payment and kind; days of which a channel's statement was read; what is to be told to whoever
-- listens. They are found by name.
CREATE TABLE mismatches (key TEXT COLLATE "C" PRIMARY KEY, until BIGINT, value TEXT NOT NULL, checksum BIGINT);
CREATE INDEX mismatches_until ON mismatches (until) WHERE until IS NOT NULL;
CREATE TABLE statement_days (key TEXT COLLATE "C" PRIMARY KEY, until BIGINT, value TEXT NOT NULL, checksum BIGINT);
CREATE INDEX statement_days_until ON statement_days (until) WHERE until IS NOT NULL;
CREATE TABLE webhooks (key TEXT COLLATE "C" PRIMARY KEY, until BIGINT, value TEXT NOT NULL, checksum BIGINT);
CREATE INDEX webhooks_until ON webhooks (until) WHERE until IS NOT NULL;
