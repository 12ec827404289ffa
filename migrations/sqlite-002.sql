-- Whoever asks to be forgotten is found by the keyed fingerprint that stands in what is kept of them; and who was forgotten is told on
-- to other processes, for some days.
CREATE TABLE forgotten (key TEXT PRIMARY KEY, until INTEGER, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX forgotten_until ON forgotten (until) WHERE until IS NOT NULL;
CREATE INDEX evidence_person ON evidence (json_extract(value, '$[1].person'))
    WHERE json_extract(value, '$[1].person') IS NOT NULL;
CREATE INDEX agreements_person ON agreements (json_extract(value, '$[2].person'))
    WHERE json_extract(value, '$[2].person') IS NOT NULL;
CREATE INDEX waiting_binds_person ON waiting_binds (json_extract(value, '$[1][0].person'))
    WHERE json_extract(value, '$[1][0].person') IS NOT NULL;
CREATE INDEX holds_person ON holds (json_extract(value, '$.person'))
    WHERE json_extract(value, '$.person') IS NOT NULL;
-- What tells the keys of fingerprints from others, by number.
CREATE TABLE fingerprint_keys (key TEXT PRIMARY KEY, until INTEGER, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX fingerprint_keys_until ON fingerprint_keys (until) WHERE until IS NOT NULL;
