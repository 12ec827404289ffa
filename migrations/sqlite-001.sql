-- The first schema. By kind a key, until when the row is kept (milliseconds since 1970), and the value as JSON; no element in any of them.
CREATE TABLE evidence (key TEXT PRIMARY KEY, until INTEGER, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX evidence_until ON evidence (until) WHERE until IS NOT NULL;
CREATE TABLE agreements (key TEXT PRIMARY KEY, until INTEGER, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX agreements_until ON agreements (until) WHERE until IS NOT NULL;
CREATE TABLE waiting_binds (key TEXT PRIMARY KEY, until INTEGER, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX waiting_binds_until ON waiting_binds (until) WHERE until IS NOT NULL;
CREATE TABLE holds (key TEXT PRIMARY KEY, until INTEGER, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX holds_until ON holds (until) WHERE until IS NOT NULL;
CREATE TABLE payments (key TEXT PRIMARY KEY, until INTEGER, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX payments_until ON payments (until) WHERE until IS NOT NULL;
CREATE TABLE expectations (key TEXT PRIMARY KEY, until INTEGER, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX expectations_until ON expectations (until) WHERE until IS NOT NULL;
CREATE TABLE orders (key TEXT PRIMARY KEY, until INTEGER, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX orders_until ON orders (until) WHERE until IS NOT NULL;
CREATE TABLE unmapped_codes (key TEXT PRIMARY KEY, until INTEGER, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX unmapped_codes_until ON unmapped_codes (until) WHERE until IS NOT NULL;
