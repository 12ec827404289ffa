-- How often the halves agreed, by provider, element set, channel and bank; and by a digest which evidence was counted at which channel.
CREATE TABLE concordance (key TEXT COLLATE "C" PRIMARY KEY, until BIGINT, value TEXT NOT NULL, checksum BIGINT);
CREATE INDEX concordance_until ON concordance (until) WHERE until IS NOT NULL;
CREATE TABLE samples (key TEXT COLLATE "C" PRIMARY KEY, until BIGINT, value TEXT NOT NULL, checksum BIGINT);
CREATE INDEX samples_until ON samples (until) WHERE until IS NOT NULL;
