-- Only PostgreSQL: the counters' triggers. Once a statement, however many rows it changes: a row that one transaction
-- changes a thousand times is looked for through all its former versions.

CREATE FUNCTION count_jobs() RETURNS trigger LANGUAGE plpgsql AS $count$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO counts (queue, state, jobs) SELECT queue, state, count(*) FROM after_it GROUP BY queue, state
    ON CONFLICT (queue, state) DO UPDATE SET jobs = counts.jobs + excluded.jobs;
  ELSIF TG_OP = 'DELETE' THEN
    INSERT INTO counts (queue, state, jobs) SELECT queue, state, -count(*) FROM before_it GROUP BY queue, state
    ON CONFLICT (queue, state) DO UPDATE SET jobs = counts.jobs + excluded.jobs;
  ELSE
    INSERT INTO counts (queue, state, jobs) SELECT queue, state, sum(step) FROM (
      SELECT queue, state, 1 AS step FROM after_it UNION ALL SELECT queue, state, -1 FROM before_it) AS steps
    GROUP BY queue, state HAVING sum(step) <> 0
    ON CONFLICT (queue, state) DO UPDATE SET jobs = counts.jobs + excluded.jobs;
  END IF;
  RETURN NULL;
END
$count$;

CREATE TRIGGER jobs_counted_in AFTER INSERT ON jobs REFERENCING NEW TABLE AS after_it
FOR EACH STATEMENT EXECUTE FUNCTION count_jobs();
CREATE TRIGGER jobs_counted_over AFTER UPDATE ON jobs REFERENCING OLD TABLE AS before_it NEW TABLE AS after_it
FOR EACH STATEMENT EXECUTE FUNCTION count_jobs();
CREATE TRIGGER jobs_counted_out AFTER DELETE ON jobs REFERENCING OLD TABLE AS before_it
FOR EACH STATEMENT EXECUTE FUNCTION count_jobs();
