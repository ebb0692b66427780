-- Jobs that are made at due times. What is wanted of one stands in its note, too: meta/schedule.<name>.json.

CREATE TABLE schedules (
  name TEXT PRIMARY KEY,
  wish TEXT NOT NULL,                  -- JSON: cron, zone, what is submitted and how, see schedules.py
  created_at {real} NOT NULL,
  paused_at {real},
  done_at {real} NOT NULL,             -- the last due time that has been seen to: each later one is to come, once
  next_at {real},                      -- when to look again; NULL: never
  ran_at {real},                       -- the due time of its last job, or when a person had it run
  job TEXT,
  trouble TEXT                         -- why the last due time has brought no job
) {strict};
