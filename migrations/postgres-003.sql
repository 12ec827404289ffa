-- What tells a row that was changed beside Hefu: the CRC-32 of its key, end and value; none where it was written before this.
ALTER TABLE evidence ADD COLUMN checksum BIGINT;
ALTER TABLE agreements ADD COLUMN checksum BIGINT;
ALTER TABLE waiting_binds ADD COLUMN checksum BIGINT;
ALTER TABLE holds ADD COLUMN checksum BIGINT;
ALTER TABLE payments ADD COLUMN checksum BIGINT;
ALTER TABLE expectations ADD COLUMN checksum BIGINT;
ALTER TABLE orders ADD COLUMN checksum BIGINT;
ALTER TABLE unmapped_codes ADD COLUMN checksum BIGINT;
ALTER TABLE inquiries ADD COLUMN checksum BIGINT;
ALTER TABLE charges ADD COLUMN checksum BIGINT;
ALTER TABLE forgotten ADD COLUMN checksum BIGINT;
ALTER TABLE fingerprint_keys ADD COLUMN checksum BIGINT;
