-- The index: who holds a job and what became of it. The spool decides that a job exists.
-- Instants are Unix seconds, sizes bytes. {blob} and {real} are the engine's names for these types.

CREATE TABLE queues (
  name TEXT PRIMARY KEY,
  created_at {real} NOT NULL,
  paused_at {real},
  paused_by TEXT,
  paused_reason TEXT
) {strict};

CREATE TABLE jobs (
  id TEXT PRIMARY KEY,
  queue TEXT NOT NULL,
  name {blob} NOT NULL,
  arriver TEXT NOT NULL,
  state TEXT NOT NULL,
  place TEXT NOT NULL,
  confirmed INTEGER NOT NULL,          -- 0: the payload may not be where place says; somebody will move it
  due INTEGER NOT NULL,                -- 0: ready_at lies ahead; the next claim after it makes it 1
  priority INTEGER NOT NULL,
  attempt INTEGER NOT NULL,            -- grows with each claim, never shrinks: the fencing token
  failures INTEGER NOT NULL,
  crashes INTEGER NOT NULL,
  losses INTEGER NOT NULL,
  owner TEXT,
  size {bigint} NOT NULL,
  created_at {real} NOT NULL,
  ready_at {real} NOT NULL,
  updated_at {real} NOT NULL,
  output TEXT,
  output_size {bigint},
  output_sha256 TEXT,
  error TEXT,
  options TEXT,                        -- JSON: what a sidecar asked for beyond the queue's settings
  cancel_by TEXT,                      -- who asked that the running attempt be ended
  CONSTRAINT the_state_is_known CHECK (state IN
    ('pending', 'held', 'processing', 'completed', 'failed', 'unprocessable', 'cancelled')),
  CONSTRAINT the_place_fits_the_state CHECK (
    state IN ('pending', 'held') AND place = 'ready'
    OR state = 'processing' AND place = 'claimed'
    OR state = 'completed' AND place IN ('done', 'gone')
    OR state IN ('failed', 'unprocessable') AND place IN ('dead', 'gone')
    OR state = 'cancelled' AND place IN ('cancelled', 'gone')),
  CONSTRAINT a_processing_job_has_an_owner_and_an_attempt CHECK (
    state <> 'processing' OR (owner IS NOT NULL AND attempt > 0 AND confirmed = 0)),
  CONSTRAINT only_completed_jobs_have_an_output CHECK ((output IS NOT NULL) = (state = 'completed')),
  CONSTRAINT flags_are_0_or_1 CHECK (confirmed IN (0, 1) AND due IN (0, 1)),
  CONSTRAINT budgets_do_not_shrink_below_0 CHECK (failures >= 0 AND crashes >= 0 AND losses >= 0)
) {strict};

CREATE INDEX jobs_to_claim ON jobs (queue, priority DESC, ready_at, id) WHERE state = 'pending' AND due = 1;
CREATE INDEX jobs_to_wake ON jobs (ready_at) WHERE state = 'pending' AND due = 0;
CREATE INDEX jobs_to_confirm ON jobs (owner, id) WHERE confirmed = 0;
CREATE INDEX jobs_set_aside ON jobs (state, id) WHERE state NOT IN ('pending', 'processing', 'completed');
CREATE UNIQUE INDEX jobs_by_output ON jobs (output) WHERE output IS NOT NULL;

-- One row an attempt: the history. Written when the attempt ends.
CREATE TABLE attempts (
  job TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  owner TEXT NOT NULL,
  started_at {real},
  ended_at {real} NOT NULL,
  run_seconds {real} NOT NULL,
  outcome TEXT NOT NULL,
  error TEXT,
  exit_code INTEGER,
  log TEXT,
  PRIMARY KEY (job, attempt)
) {strict_without_rowid};

CREATE TABLE consumers (
  owner TEXT PRIMARY KEY,
  program TEXT NOT NULL,
  pid INTEGER NOT NULL,
  host TEXT NOT NULL,
  boot_id TEXT NOT NULL,
  queues TEXT,                         -- JSON list; NULL: all
  started_at {real} NOT NULL,
  beat_at {real} NOT NULL,
  beat_boottime {real} NOT NULL,       -- CLOCK_BOOTTIME of boot_id: a step of the wall clock means nothing
  lease {real} NOT NULL,               -- seconds
  completed INTEGER NOT NULL
) {strict};

-- How many jobs of each queue are in each state: kept by triggers, so that no code path can forget it.
CREATE TABLE counts (
  queue TEXT NOT NULL,
  state TEXT NOT NULL,
  jobs {bigint} NOT NULL,
  PRIMARY KEY (queue, state)
) {strict_without_rowid};

-- Per queue and minute, so that rates and plots cost nothing.
CREATE TABLE stats (
  minute {bigint} NOT NULL,            -- Unix minutes
  queue TEXT NOT NULL,
  ingested {bigint} NOT NULL,
  completed {bigint} NOT NULL,
  failed {bigint} NOT NULL,
  bytes {bigint} NOT NULL,
  run_seconds {real} NOT NULL,
  PRIMARY KEY (minute, queue)
) {strict_without_rowid};

-- Who did what to which job, and why: acts of people and incidents, not the daily run.
CREATE TABLE events (
  id {serial},
  at {real} NOT NULL,
  actor TEXT NOT NULL,
  verb TEXT NOT NULL,
  job TEXT,
  queue TEXT,
  reason TEXT,
  before TEXT,
  after TEXT
) {strict};
CREATE INDEX events_of_a_job ON events (job, id) WHERE job IS NOT NULL;

INSERT INTO queues (name, created_at) VALUES ('default', 0);
