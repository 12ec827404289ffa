-- What clients of the verification service had verified; by which keys they asked, and how much of what they may.
CREATE TABLE verifications (key TEXT PRIMARY KEY, until INTEGER, value TEXT NOT NULL, checksum INTEGER) STRICT, WITHOUT ROWID;
CREATE INDEX verifications_until ON verifications (until) WHERE until IS NOT NULL;
CREATE TABLE client_use (key TEXT PRIMARY KEY, until INTEGER, value TEXT NOT NULL, checksum INTEGER) STRICT, WITHOUT ROWID;
CREATE INDEX client_use_until ON client_use (until) WHERE until IS NOT NULL;
