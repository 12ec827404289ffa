-- What persons put in force through the admin API: rules and their life, channels and providers; what stands in
-- the lists that rules look into.
CREATE TABLE managed (key TEXT COLLATE "C" PRIMARY KEY, until BIGINT, value TEXT NOT NULL, checksum BIGINT);
CREATE INDEX managed_until ON managed (until) WHERE until IS NOT NULL;
CREATE TABLE list_entries (key TEXT COLLATE "C" PRIMARY KEY, until BIGINT, value TEXT NOT NULL, checksum BIGINT);
CREATE INDEX list_entries_until ON list_entries (until) WHERE until IS NOT NULL;
