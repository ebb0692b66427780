-- Only SQLite: the counters' triggers (PostgreSQL writes them as one trigger function).

CREATE TRIGGER jobs_counted_in AFTER INSERT ON jobs BEGIN
  INSERT INTO counts (queue, state, jobs) VALUES (new.queue, new.state, 1)
  ON CONFLICT (queue, state) DO UPDATE SET jobs = jobs + 1;
END;

CREATE TRIGGER jobs_counted_over AFTER UPDATE OF state, queue ON jobs
WHEN old.state <> new.state OR old.queue <> new.queue BEGIN
  UPDATE counts SET jobs = jobs - 1 WHERE queue = old.queue AND state = old.state;
  INSERT INTO counts (queue, state, jobs) VALUES (new.queue, new.state, 1)
  ON CONFLICT (queue, state) DO UPDATE SET jobs = jobs + 1;
END;

CREATE TRIGGER jobs_counted_out AFTER DELETE ON jobs BEGIN
  UPDATE counts SET jobs = jobs - 1 WHERE queue = old.queue AND state = old.state;
END;
