-- What persons did through the admin API: entries by number, each with the hash of the one before it, and where they end.
CREATE TABLE audit (key TEXT COLLATE "C" PRIMARY KEY, until BIGINT, value TEXT NOT NULL, checksum BIGINT);
CREATE INDEX audit_until ON audit (until) WHERE until IS NOT NULL;
-- What is bound again closes what the same card was bound by before, wherever that is known.
CREATE INDEX agreements_card ON agreements ((value::json #>> '{2,card}'))
    WHERE (value::json #>> '{2,card}') IS NOT NULL;
