-- What metrics count must never shrink: the figures of minutes that are no longer kept, and how attempts ended.

CREATE TABLE totals (
  queue TEXT PRIMARY KEY,
  ingested {bigint} NOT NULL,
  completed {bigint} NOT NULL,
  failed {bigint} NOT NULL,
  bytes {bigint} NOT NULL,
  run_seconds {real} NOT NULL
) {strict_without_rowid};

-- Attempts that did not complete their job.
CREATE TABLE outcomes (
  queue TEXT NOT NULL,
  outcome TEXT NOT NULL,
  attempts {bigint} NOT NULL,
  PRIMARY KEY (queue, outcome)
) {strict_without_rowid};
