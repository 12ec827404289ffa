-- What clients of the verification service had verified; by which keys they asked, and how much of what they may.
CREATE TABLE verifications (key TEXT COLLATE "C" PRIMARY KEY, until BIGINT, value TEXT NOT NULL, checksum BIGINT);
CREATE INDEX verifications_until ON verifications (until) WHERE until IS NOT NULL;
CREATE TABLE client_use (key TEXT COLLATE "C" PRIMARY KEY, until BIGINT, value TEXT NOT NULL, checksum BIGINT);
CREATE INDEX client_use_until ON client_use (until) WHERE until IS NOT NULL;
