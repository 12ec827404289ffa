-- What persons did through the admin API: entries by number, each with the hash of the one before it, and where they end.
CREATE TABLE audit (key TEXT PRIMARY KEY, until INTEGER, value TEXT NOT NULL, checksum INTEGER) STRICT, WITHOUT ROWID;
CREATE INDEX audit_until ON audit (until) WHERE until IS NOT NULL;
-- What is bound again closes what the same card was bound by before, wherever that is known.
CREATE INDEX agreements_card ON agreements (json_extract(value, '$[2].card'))
    WHERE json_extract(value, '$[2].card') IS NOT NULL;
