-- What PostgreSQL is asked for many at once: the statements of the same names in statements.sql, for sets of parameters
-- that come as one array for each parameter. One statement a batch, and the counts change once.

-- name: insert_job
INSERT INTO jobs (id, queue, name, arriver, state, place, confirmed, due, priority, attempt, failures, crashes,
                  losses, size, created_at, ready_at, updated_at, options, error, origin)
SELECT each.id, each.queue, each.name, each.arriver, each.state, 'ready', 1, each.due, each.priority, 0, 0, 0, 0,
       each.size, each.created_at, each.ready_at, each.created_at, each.options, each.error, each.origin
FROM unnest(CAST(:id AS text[]), CAST(:queue AS text[]), CAST(:name AS bytea[]), CAST(:arriver AS text[]),
            CAST(:state AS text[]), CAST(:due AS bigint[]), CAST(:priority AS bigint[]), CAST(:size AS bigint[]),
            CAST(:created_at AS float[]), CAST(:ready_at AS float[]), CAST(:options AS text[]),
            CAST(:error AS text[]), CAST(:origin AS text[]))
     AS each (id, queue, name, arriver, state, due, priority, size, created_at, ready_at, options, error, origin)
ON CONFLICT (id) DO NOTHING;

-- name: restore_job
INSERT INTO jobs (id, queue, name, arriver, state, place, confirmed, due, priority, attempt, failures, crashes,
                  losses, size, created_at, ready_at, updated_at, output, options, error, assigned_to, fingerprint,
                  origin)
SELECT each.id, each.queue, each.name, each.arriver, each.state, each.place, each.confirmed, each.due, each.priority,
       each.attempt, 0, 0, 0, each.size, each.created_at, each.ready_at, each.updated_at, each.output, each.options,
       each.error, each.assigned_to, each.fingerprint, each.origin
FROM unnest(CAST(:id AS text[]), CAST(:queue AS text[]), CAST(:name AS bytea[]), CAST(:arriver AS text[]),
            CAST(:state AS text[]), CAST(:place AS text[]), CAST(:confirmed AS bigint[]), CAST(:due AS bigint[]),
            CAST(:priority AS bigint[]), CAST(:attempt AS bigint[]), CAST(:size AS bigint[]),
            CAST(:created_at AS float[]), CAST(:ready_at AS float[]), CAST(:updated_at AS float[]),
            CAST(:output AS text[]), CAST(:options AS text[]), CAST(:error AS text[]), CAST(:assigned_to AS text[]),
            CAST(:fingerprint AS text[]), CAST(:origin AS text[]))
     AS each (id, queue, name, arriver, state, place, confirmed, due, priority, attempt, size, created_at, ready_at,
              updated_at, output, options, error, assigned_to, fingerprint, origin)
ON CONFLICT (id) DO NOTHING;

-- name: claim
-- In the order in which they were wanted.
WITH wanted AS MATERIALIZED (
  SELECT each.* FROM unnest(CAST(:id AS text[]), CAST(:owner AS text[]), CAST(:now AS float[])) WITH ORDINALITY
         AS each (wanted, claimer, claimed_at, turn)),
leased AS (
  UPDATE jobs SET state = 'processing', place = 'claimed', confirmed = 0, attempt = attempt + 1, owner = claimer,
                  updated_at = claimed_at, cancel_by = NULL
  FROM wanted WHERE id = wanted AND state = 'pending' AND confirmed = 1
  RETURNING turn, {columns})
SELECT {columns} FROM leased ORDER BY turn;

-- name: complete
UPDATE jobs SET state = 'completed', place = each.place, updated_at = each.at, output = each.output,
                output_size = each.output_size, output_sha256 = each.output_sha256, error = NULL
FROM unnest(CAST(:id AS text[]), CAST(:attempt AS bigint[]), CAST(:owner AS text[]), CAST(:place AS text[]),
            CAST(:now AS float[]), CAST(:output AS text[]), CAST(:output_size AS bigint[]),
            CAST(:output_sha256 AS text[]))
     AS each (id, attempt, owner, place, at, output, output_size, output_sha256)
WHERE jobs.id = each.id AND jobs.attempt = each.attempt AND jobs.owner = each.owner AND jobs.state = 'processing'
RETURNING jobs.id;

-- name: confirm
UPDATE jobs SET confirmed = 1
FROM unnest(CAST(:id AS text[]), CAST(:attempt AS bigint[]), CAST(:state AS text[]), CAST(:place AS text[]))
     AS each (id, attempt, state, place)
WHERE jobs.id = each.id AND jobs.attempt = each.attempt AND jobs.state = each.state AND jobs.place = each.place
AND jobs.state <> 'processing' AND confirmed = 0
RETURNING jobs.id;

-- name: insert_attempt
INSERT INTO attempts (job, attempt, owner, started_at, ended_at, run_seconds, outcome, error, exit_code, log, handler,
                      user_seconds, system_seconds, peak_bytes)
SELECT * FROM unnest(
  CAST(:job AS text[]), CAST(:attempt AS bigint[]), CAST(:owner AS text[]), CAST(:started_at AS float[]),
  CAST(:ended_at AS float[]), CAST(:run_seconds AS float[]), CAST(:outcome AS text[]), CAST(:error AS text[]),
  CAST(:exit_code AS bigint[]), CAST(:log AS text[]), CAST(:handler AS bigint[]), CAST(:user_seconds AS float[]),
  CAST(:system_seconds AS float[]), CAST(:peak_bytes AS bigint[]))
ON CONFLICT (job, attempt) DO NOTHING;
