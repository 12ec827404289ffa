-- The first schema. By kind a key, until when the row is kept (milliseconds since 1970), and the value as JSON; no element in any of them.
CREATE TABLE evidence (key TEXT COLLATE "C" PRIMARY KEY, until BIGINT, value TEXT NOT NULL);
CREATE INDEX evidence_until ON evidence (until) WHERE until IS NOT NULL;
CREATE TABLE agreements (key TEXT COLLATE "C" PRIMARY KEY, until BIGINT, value TEXT NOT NULL);
CREATE INDEX agreements_until ON agreements (until) WHERE until IS NOT NULL;
CREATE TABLE waiting_binds (key TEXT COLLATE "C" PRIMARY KEY, until BIGINT, value TEXT NOT NULL);
CREATE INDEX waiting_binds_until ON waiting_binds (until) WHERE until IS NOT NULL;
CREATE TABLE holds (key TEXT COLLATE "C" PRIMARY KEY, until BIGINT, value TEXT NOT NULL);
CREATE INDEX holds_until ON holds (until) WHERE until IS NOT NULL;
CREATE TABLE payments (key TEXT COLLATE "C" PRIMARY KEY, until BIGINT, value TEXT NOT NULL);
CREATE INDEX payments_until ON payments (until) WHERE until IS NOT NULL;
CREATE TABLE expectations (key TEXT COLLATE "C" PRIMARY KEY, until BIGINT, value TEXT NOT NULL);
CREATE INDEX expectations_until ON expectations (until) WHERE until IS NOT NULL;
CREATE TABLE orders (key TEXT COLLATE "C" PRIMARY KEY, until BIGINT, value TEXT NOT NULL);
CREATE INDEX orders_until ON orders (until) WHERE until IS NOT NULL;
CREATE TABLE unmapped_codes (key TEXT COLLATE "C" PRIMARY KEY, until BIGINT, value TEXT NOT NULL);
CREATE INDEX unmapped_codes_until ON unmapped_codes (until) WHERE until IS NOT NULL;
