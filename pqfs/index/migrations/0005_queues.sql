-- What people set of a queue while everything runs, until when it is paused, how many jobs it has started, and which
-- job a content or an idempotency key belongs to.

ALTER TABLE queues ADD COLUMN settings TEXT;        -- JSON: what stands over pqfs.toml
ALTER TABLE queues ADD COLUMN paused_until {real};  -- NULL: until somebody resumes it; of a queue that is open: since when
ALTER TABLE stats ADD COLUMN claimed {bigint} NOT NULL DEFAULT 0;  -- counted only for queues with a claim_rate

-- Two arrivals that race meet here: one of them is the job. A key lives as long as the row of the job that it names.
CREATE TABLE keys (
  queue TEXT NOT NULL,
  kind TEXT NOT NULL,
  digest TEXT NOT NULL,                -- SHA-256 of the payload, or of the idempotency key
  job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
  CONSTRAINT a_key_is_of_a_known_kind CHECK (kind IN ('content', 'key')),
  PRIMARY KEY (queue, kind, digest)
) {strict_without_rowid};
CREATE INDEX keys_of_a_job ON keys (job);
