-- What tells a row that was changed beside Hefu: the CRC-32 of its key, end and value; none where it was written before this.
ALTER TABLE evidence ADD COLUMN checksum INTEGER;
ALTER TABLE agreements ADD COLUMN checksum INTEGER;
ALTER TABLE waiting_binds ADD COLUMN checksum INTEGER;
ALTER TABLE holds ADD COLUMN checksum INTEGER;
ALTER TABLE payments ADD COLUMN checksum INTEGER;
ALTER TABLE expectations ADD COLUMN checksum INTEGER;
ALTER TABLE orders ADD COLUMN checksum INTEGER;
ALTER TABLE unmapped_codes ADD COLUMN checksum INTEGER;
ALTER TABLE inquiries ADD COLUMN checksum INTEGER;
ALTER TABLE charges ADD COLUMN checksum INTEGER;
ALTER TABLE forgotten ADD COLUMN checksum INTEGER;
ALTER TABLE fingerprint_keys ADD COLUMN checksum INTEGER;
