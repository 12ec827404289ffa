-- Whoever asks to be forgotten is found by the keyed fingerprint that stands in what is kept of them; and who was forgotten is told on
-- to other processes, for some days.
CREATE TABLE forgotten (key TEXT COLLATE "C" PRIMARY KEY, until BIGINT, value TEXT NOT NULL);
CREATE INDEX forgotten_until ON forgotten (until) WHERE until IS NOT NULL;
CREATE INDEX evidence_person ON evidence ((value::json #>> '{1,person}'))
    WHERE (value::json #>> '{1,person}') IS NOT NULL;
CREATE INDEX agreements_person ON agreements ((value::json #>> '{2,person}'))
    WHERE (value::json #>> '{2,person}') IS NOT NULL;
CREATE INDEX waiting_binds_person ON waiting_binds ((value::json #>> '{1,0,person}'))
    WHERE (value::json #>> '{1,0,person}') IS NOT NULL;
CREATE INDEX holds_person ON holds ((value::json #>> '{person}'))
    WHERE (value::json #>> '{person}') IS NOT NULL;
-- What tells the keys of fingerprints from others, by number.
CREATE TABLE fingerprint_keys (key TEXT COLLATE "C" PRIMARY KEY, until BIGINT, value TEXT NOT NULL);
CREATE INDEX fingerprint_keys_until ON fingerprint_keys (until) WHERE until IS NOT NULL;
