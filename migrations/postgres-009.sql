-- Payment accounts, whose they are, and what was paid from balance.
CREATE TABLE accounts (key TEXT COLLATE "C" PRIMARY KEY, until BIGINT, value TEXT NOT NULL, checksum BIGINT);
CREATE INDEX accounts_until ON accounts (until) WHERE until IS NOT NULL;
