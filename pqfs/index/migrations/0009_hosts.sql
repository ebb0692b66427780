-- The hosts that work on one spool, and when each was last heard of. None where the index serves one host only.

CREATE TABLE hosts (
  name TEXT PRIMARY KEY,
  boot_id TEXT NOT NULL,
  beat_at {real} NOT NULL,
  lease {real} NOT NULL                -- seconds
) {strict};
