-- The audit is a chain of hashes; errors of dead letters have fingerprints; a job may have come of another; an attempt
-- knows what ran it and what that used.

ALTER TABLE events ADD COLUMN hash TEXT;  -- of the hash before it and all else in the row; NULL: older than the chain

-- One row: where the chain begins (the last event that is no longer kept) and where it ends.
CREATE TABLE chain (
  only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
  anchor {bigint} NOT NULL,
  anchor_at {real} NOT NULL,           -- 0: nothing has been removed yet
  anchor_hash TEXT NOT NULL,
  head {bigint} NOT NULL,
  head_hash TEXT NOT NULL
) {strict};
INSERT INTO chain (only_one, anchor, anchor_at, anchor_hash, head, head_hash)
SELECT 1, coalesce(max(id), 0), 0, '', coalesce(max(id), 0), '' FROM events;

UPDATE events SET job = substr(before, length(before) - 35), before = substr(before, 1, length(before) - 37)
WHERE verb = 'delete' AND job IS NULL AND length(before) > 37;
CREATE INDEX deletions ON events (substr(job, 25)) WHERE verb = 'delete';

ALTER TABLE jobs ADD COLUMN fingerprint TEXT;  -- of the error of a dead letter, see fingerprint.py
ALTER TABLE jobs ADD COLUMN origin TEXT;       -- the job that this one is made of (replay, edit)
UPDATE jobs SET fingerprint = '000000000000' WHERE state IN ('failed', 'unprocessable');
CREATE INDEX dead_letters ON jobs (fingerprint, queue, updated_at) WHERE fingerprint IS NOT NULL;
CREATE INDEX descendants ON jobs (origin) WHERE origin IS NOT NULL;

-- What ran attempts: told once, named by number. Not for the built-in handler.
CREATE TABLE handlers (
  id {bigint} NOT NULL PRIMARY KEY,
  text TEXT NOT NULL
) {strict};
ALTER TABLE attempts ADD COLUMN handler {bigint};
ALTER TABLE attempts ADD COLUMN user_seconds {real};
ALTER TABLE attempts ADD COLUMN system_seconds {real};
ALTER TABLE attempts ADD COLUMN peak_bytes {bigint};
