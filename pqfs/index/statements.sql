-- Every statement that pqfs runs, one text for both engines. `{skip_locked}` is empty on SQLite, whose single
-- writer makes it unnecessary, and FOR UPDATE SKIP LOCKED on PostgreSQL.
-- Every statement that extends or ends an attempt names job, attempt and owner: the fence.

-- name: insert_job
INSERT INTO jobs (id, queue, name, arriver, state, place, confirmed, due, priority, attempt, failures, crashes,
                  losses, size, created_at, ready_at, updated_at, options, error, origin)
VALUES (:id, :queue, :name, :arriver, :state, 'ready', 1, :due, :priority, 0, 0, 0, 0,
        :size, :created_at, :ready_at, :created_at, :options, :error, :origin)
ON CONFLICT (id) DO NOTHING;

-- name: restore_job
-- A row made again from the tree.
INSERT INTO jobs (id, queue, name, arriver, state, place, confirmed, due, priority, attempt, failures, crashes,
                  losses, size, created_at, ready_at, updated_at, output, options, error, assigned_to, fingerprint,
                  origin)
VALUES (:id, :queue, :name, :arriver, :state, :place, :confirmed, :due, :priority, :attempt, 0, 0, 0,
        :size, :created_at, :ready_at, :updated_at, :output, :options, :error, :assigned_to, :fingerprint,
        :origin)
ON CONFLICT (id) DO NOTHING;

-- name: wake_due
UPDATE jobs SET due = 1 WHERE state = 'pending' AND due = 0 AND ready_at <= :now;

-- name: next_wake
SELECT min(ready_at) FROM jobs WHERE state = 'pending' AND due = 0;

-- name: claimable
-- Not confirmed: its payload is still on its way back to ready/, so that its next attempt would find nothing.
SELECT priority, ready_at, id, queue FROM jobs
WHERE state = 'pending' AND due = 1 AND assigned_to IS NULL AND queue = :queue AND confirmed = 1
ORDER BY priority DESC, ready_at, id LIMIT :limit {skip_locked};

-- name: claimable_from
-- The same, of which none but of a higher priority comes before this one. Only PostgreSQL: see heads.py.
SELECT * FROM (
  SELECT priority, ready_at, id, queue FROM jobs
  WHERE state = 'pending' AND due = 1 AND assigned_to IS NULL AND queue = :queue AND confirmed = 1
  AND priority > :priority ORDER BY priority DESC, ready_at, id LIMIT :limit {skip_locked}) AS above
UNION ALL SELECT * FROM (
  SELECT priority, ready_at, id, queue FROM jobs
  WHERE state = 'pending' AND due = 1 AND assigned_to IS NULL AND queue = :queue AND confirmed = 1
  AND priority = :priority AND (ready_at, id) >= (:ready_at, :id) ORDER BY ready_at, id LIMIT :limit {skip_locked}
  ) AS abreast
UNION ALL SELECT * FROM (
  SELECT priority, ready_at, id, queue FROM jobs
  WHERE state = 'pending' AND due = 1 AND assigned_to IS NULL AND queue = :queue AND confirmed = 1
  AND priority < :priority ORDER BY priority DESC, ready_at, id LIMIT :limit {skip_locked}) AS below
LIMIT :limit;

-- name: claimable_assigned
-- The same of what is for one consumer alone.
SELECT priority, ready_at, id, queue FROM jobs
WHERE state = 'pending' AND due = 1 AND assigned_to = :program AND queue IN ({listed}) AND confirmed = 1
ORDER BY priority DESC, ready_at, id LIMIT :limit {skip_locked};

-- name: passed_over
-- The next of one priority, behind those that are claimed in their turn.
SELECT priority, ready_at, id, queue FROM jobs
WHERE state = 'pending' AND due = 1 AND assigned_to IS NULL AND queue = :queue AND priority = :priority
AND confirmed = 1
ORDER BY ready_at, id LIMIT :limit OFFSET :behind {skip_locked};

-- name: leased_by
SELECT count(*) FROM jobs WHERE confirmed = 0 AND owner = :owner AND state = 'processing' AND queue = :queue;

-- name: head
-- The job that is to be claimed next.
SELECT {columns} FROM jobs
WHERE state = 'pending' AND due = 1 AND assigned_to IS NULL AND queue = :queue AND confirmed = 1
ORDER BY priority DESC, ready_at, id LIMIT 1;

-- name: overslept
-- A job whose time has come and that no claim has woken yet.
SELECT {columns} FROM jobs WHERE state = 'pending' AND due = 0 AND ready_at <= :now ORDER BY ready_at LIMIT 1;

-- name: claim
UPDATE jobs SET state = 'processing', place = 'claimed', confirmed = 0, attempt = attempt + 1, owner = :owner,
                updated_at = :now, cancel_by = NULL
WHERE id = :id AND state = 'pending' AND confirmed = 1
RETURNING {columns};

-- name: complete
UPDATE jobs SET state = 'completed', place = :place, updated_at = :now, output = :output,
                output_size = :output_size, output_sha256 = :output_sha256, error = NULL
WHERE id = :id AND attempt = :attempt AND owner = :owner AND state = 'processing'
RETURNING id;

-- name: settle
-- An attempt that did not complete: back to pending, or to a final state.
UPDATE jobs SET state = :state, place = :place, due = :due, ready_at = :ready_at, failures = :failures,
                crashes = :crashes, losses = :losses, error = :error, updated_at = :now, fingerprint = :fingerprint
WHERE id = :id AND attempt = :attempt AND owner = :owner AND state = 'processing'
RETURNING {columns};

-- name: steer
-- A person's verb on a job that nobody runs; the state it must be in is the guard.
UPDATE jobs SET state = :state, place = :place, confirmed = 0,
                ready_at = coalesce(:ready_at, ready_at),
                due = CASE WHEN coalesce(:ready_at, ready_at) <= :now THEN 1 ELSE 0 END,
                failures = :failures, crashes = :crashes, losses = :losses, error = :error, updated_at = :now,
                fingerprint = :fingerprint
WHERE id = :id AND state = :from_state AND attempt = :attempt AND place <> 'gone'
RETURNING {columns};

-- name: plan
-- What a person changes of a job that waits.
UPDATE jobs SET priority = coalesce(:priority, priority),
                ready_at = coalesce(:ready_at, ready_at),
                due = CASE WHEN coalesce(:ready_at, ready_at) <= :now THEN 1 ELSE 0 END
WHERE id = :id AND state = :state AND attempt = :attempt AND state IN ('pending', 'held')
RETURNING {columns};

-- name: assign
-- For one consumer alone, or (NULL) for all of them again.
UPDATE jobs SET assigned_to = :program
WHERE id = :id AND state IN ('pending', 'held') AND attempt = :attempt
AND coalesce(assigned_to, '') = coalesce(:before, '')
RETURNING {columns};

-- name: assignments
-- Whose jobs wait for one consumer alone, and in which queues.
SELECT DISTINCT assigned_to, queue FROM jobs WHERE state = 'pending' AND assigned_to IS NOT NULL;

-- name: assigned
SELECT {columns} FROM jobs WHERE state = 'pending' AND assigned_to = :program AND queue = :queue LIMIT :limit;

-- name: request_cancel
UPDATE jobs SET cancel_by = :by WHERE id = :id AND state = 'processing' RETURNING attempt;

-- name: cancels_for
SELECT id, attempt, cancel_by FROM jobs WHERE confirmed = 0 AND owner = :owner AND cancel_by IS NOT NULL
AND state = 'processing';

-- name: confirm
UPDATE jobs SET confirmed = 1
WHERE id = :id AND attempt = :attempt AND state = :state AND place = :place AND state <> 'processing'
AND confirmed = 0
RETURNING id;

-- name: unconfirmed
-- coalesce, here and below: else SQLite walks all rows in order of id, and not the few that are not confirmed.
SELECT {columns} FROM jobs WHERE confirmed = 0 AND state <> 'processing' ORDER BY coalesce(id, '') LIMIT :limit;

-- name: unconfirmed_of
SELECT {columns} FROM jobs WHERE confirmed = 0 AND owner = :owner ORDER BY id;

-- name: owners_at_work
SELECT DISTINCT owner FROM jobs WHERE confirmed = 0 AND owner IS NOT NULL;

-- name: job
SELECT {columns} FROM jobs WHERE id = :id;

-- name: jobs_like
SELECT {columns} FROM jobs WHERE id >= :low AND id < :high ORDER BY id LIMIT :limit;

-- name: job_by_output
SELECT {columns} FROM jobs WHERE output = :output;

-- name: late_job_by_name
-- The newest job of this name, where it is among the last to arrive: what people mostly ask after.
SELECT {columns} FROM (SELECT * FROM jobs WHERE id >= :low ORDER BY id DESC LIMIT 20000) AS late
WHERE queue = coalesce(:queue, queue) AND name = :name ORDER BY id DESC LIMIT 1;

-- name: job_by_name
-- The same among all since an id: rows in the order in which they lie (hence no plain id below, which would lead
-- through its index), in which 1,000,000 are read in half the time.
SELECT {columns} FROM jobs WHERE {row} >= (SELECT min({row}) FROM jobs WHERE id >= :low)
AND coalesce(id, '') >= :low AND queue = coalesce(:queue, queue) AND name = :name ORDER BY coalesce(id, '') DESC LIMIT 1;

-- name: jobs_ahead
SELECT count(*) FROM (
  SELECT 1 FROM jobs WHERE state = 'pending' AND due = 1 AND assigned_to IS NULL AND queue = :queue
  AND (priority > :priority OR priority = :priority AND (ready_at < :ready_at OR ready_at = :ready_at AND id < :id))
  LIMIT :limit) AS ahead;

-- name: levels
-- The priorities in use among a queue's due jobs, and since when the longest waiting of each has been due: one probe of
-- jobs_to_claim for each.
WITH RECURSIVE levels (priority) AS (
  SELECT max(priority) FROM jobs WHERE state = 'pending' AND due = 1 AND assigned_to IS NULL AND queue = :queue
  UNION ALL
  SELECT (SELECT max(jobs.priority) FROM jobs
          WHERE state = 'pending' AND due = 1 AND assigned_to IS NULL AND queue = :queue
          AND jobs.priority < levels.priority)
  FROM levels WHERE levels.priority IS NOT NULL)
SELECT levels.priority, (SELECT min(ready_at) FROM jobs
                         WHERE state = 'pending' AND due = 1 AND assigned_to IS NULL AND queue = :queue
                         AND jobs.priority = levels.priority)
FROM levels WHERE levels.priority IS NOT NULL;

-- name: waiting_bytes
SELECT coalesce(sum(size), 0) FROM (
  SELECT size FROM jobs WHERE state = 'pending' AND due = 1 AND assigned_to IS NULL AND queue = :queue
  UNION ALL SELECT size FROM jobs WHERE state = 'pending' AND due = 1 AND assigned_to IS NOT NULL AND queue = :queue
  UNION ALL SELECT size FROM jobs WHERE state = 'pending' AND due = 0 AND queue = :queue
  UNION ALL SELECT size FROM jobs
  WHERE state = 'held' AND state NOT IN ('pending', 'processing', 'completed') AND queue = :queue) AS waiting;

-- name: insert_attempt
INSERT INTO attempts (job, attempt, owner, started_at, ended_at, run_seconds, outcome, error, exit_code, log, handler,
                      user_seconds, system_seconds, peak_bytes)
VALUES (:job, :attempt, :owner, :started_at, :ended_at, :run_seconds, :outcome, :error, :exit_code, :log, :handler,
        :user_seconds, :system_seconds, :peak_bytes)
ON CONFLICT (job, attempt) DO NOTHING;

-- name: attempts_of
SELECT job, attempt, owner, started_at, ended_at, run_seconds, outcome, error, exit_code, log,
       (SELECT text FROM handlers WHERE id = handler) AS handler, user_seconds, system_seconds, peak_bytes
FROM attempts WHERE job = :job ORDER BY attempt;

-- name: insert_handler
INSERT INTO handlers (id, text) VALUES (:id, :text) ON CONFLICT (id) DO NOTHING;

-- name: register_consumer
INSERT INTO consumers (owner, program, pid, host, boot_id, queues, started_at, beat_at, beat_boottime, lease, completed)
VALUES (:owner, :program, :pid, :host, :boot_id, :queues, :now, :now, :boottime, :lease, 0);

-- name: beat
UPDATE consumers SET beat_at = :now, beat_boottime = :boottime, completed = :completed WHERE owner = :owner
RETURNING owner;

-- name: consumers
SELECT owner, program, pid, host, boot_id, queues, started_at, beat_at, beat_boottime, lease, completed
FROM consumers ORDER BY program, started_at;

-- name: forget_consumer
DELETE FROM consumers WHERE owner = :owner;

-- name: roster
SELECT slots FROM roster;

-- name: write_roster
INSERT INTO roster (only_one, slots) VALUES (1, :slots) ON CONFLICT (only_one) DO UPDATE SET slots = excluded.slots;

-- name: forget_roster
DELETE FROM roster;

-- name: queues
SELECT name, created_at, paused_at, paused_by, paused_reason, paused_until, settings FROM queues ORDER BY name;

-- name: create_queue
INSERT INTO queues (name, created_at) VALUES (:name, :now) ON CONFLICT (name) DO NOTHING RETURNING name;

-- name: wish_queue
UPDATE queues SET settings = :settings, paused_at = :paused_at, paused_by = :paused_by, paused_reason = :paused_reason,
                  paused_until = :paused_until
WHERE name = :name RETURNING name;

-- name: delete_queue
-- Completed jobs may name a queue that is no more; all others can come back to it.
DELETE FROM queues WHERE name = :name AND NOT EXISTS (
  SELECT 1 FROM counts WHERE queue = :name AND jobs <> 0 AND state <> 'completed')
RETURNING name;

-- name: lost_queues
-- Queues that jobs are in and that have no row: deleted in the moment in which a file of theirs was taken.
SELECT DISTINCT queue FROM counts WHERE jobs <> 0 AND state <> 'completed'
AND queue NOT IN (SELECT name FROM queues);

-- name: key_holder
SELECT keys.job FROM keys JOIN jobs ON jobs.id = keys.job
WHERE keys.queue = :queue AND keys.kind = :kind AND keys.digest = :digest
AND jobs.state IN ('pending', 'held', 'processing', 'completed');

-- name: key_owner
SELECT job FROM keys WHERE queue = :queue AND kind = :kind AND digest = :digest;

-- name: take_key
-- Whoever comes second meets the first one here; what has failed or was cancelled gives its key away.
INSERT INTO keys (queue, kind, digest, job) VALUES (:queue, :kind, :digest, :job)
ON CONFLICT (queue, kind, digest) DO UPDATE SET job = excluded.job
WHERE keys.job = excluded.job OR NOT EXISTS (
  SELECT 1 FROM jobs WHERE jobs.id = keys.job AND jobs.state IN ('pending', 'held', 'processing', 'completed'))
RETURNING job;

-- name: counts
SELECT queue, state, jobs FROM counts WHERE jobs <> 0 ORDER BY queue, state;

-- name: add_stats
INSERT INTO stats (minute, queue, ingested, completed, failed, bytes, run_seconds)
VALUES (:minute, :queue, :ingested, :completed, :failed, :bytes, :run_seconds)
ON CONFLICT (minute, queue) DO UPDATE SET
  ingested = stats.ingested + excluded.ingested, completed = stats.completed + excluded.completed,
  failed = stats.failed + excluded.failed, bytes = stats.bytes + excluded.bytes,
  run_seconds = stats.run_seconds + excluded.run_seconds;

-- name: count_claimed
INSERT INTO stats (minute, queue, ingested, completed, failed, bytes, run_seconds, claimed)
VALUES (:minute, :queue, 0, 0, 0, 0, 0, :claimed)
ON CONFLICT (minute, queue) DO UPDATE SET claimed = stats.claimed + excluded.claimed;

-- name: claimed_since
SELECT coalesce(sum(claimed), 0) FROM stats WHERE minute >= :minute AND queue = :queue;

-- name: stats_since
SELECT minute, sum(ingested), sum(completed), sum(failed), sum(bytes), sum(run_seconds)
FROM stats WHERE minute >= :minute GROUP BY minute ORDER BY minute;

-- name: ingested_since
SELECT coalesce(sum(ingested), 0) FROM stats WHERE minute >= :minute AND queue = :queue;

-- name: keep_totals
-- Before their minutes are forgotten.
INSERT INTO totals (queue, ingested, completed, failed, bytes, run_seconds)
SELECT queue, sum(ingested), sum(completed), sum(failed), sum(bytes), sum(run_seconds) FROM stats
WHERE minute < :minute GROUP BY queue
ON CONFLICT (queue) DO UPDATE SET
  ingested = totals.ingested + excluded.ingested, completed = totals.completed + excluded.completed,
  failed = totals.failed + excluded.failed, bytes = totals.bytes + excluded.bytes,
  run_seconds = totals.run_seconds + excluded.run_seconds;

-- name: totals
SELECT queue, sum(ingested), sum(completed), sum(failed), sum(bytes), sum(run_seconds) FROM (
  SELECT queue, ingested, completed, failed, bytes, run_seconds FROM totals
  UNION ALL SELECT queue, ingested, completed, failed, bytes, run_seconds FROM stats) AS counted
GROUP BY queue ORDER BY queue;

-- name: count_outcome
INSERT INTO outcomes (queue, outcome, attempts) VALUES (:queue, :outcome, 1)
ON CONFLICT (queue, outcome) DO UPDATE SET attempts = outcomes.attempts + 1;

-- name: outcomes
SELECT queue, outcome, attempts FROM outcomes ORDER BY queue, outcome;

-- name: forget_stats
DELETE FROM stats WHERE minute < :minute;

-- name: insert_event
INSERT INTO events (id, at, actor, verb, job, queue, reason, before, after, hash)
VALUES (:id, :at, :actor, :verb, :job, :queue, :reason, :before, :after, :hash);

-- name: events_of
SELECT at, actor, verb, reason, before, after FROM events WHERE job = :job ORDER BY id;

-- name: deletion
-- The event that the deletion of a completed job leaves behind.
SELECT id FROM events WHERE verb = 'delete' AND before = 'completed' AND substr(job, 25) = :tail LIMIT 1;

-- name: chain
SELECT anchor, anchor_at, anchor_hash, head, head_hash FROM chain;

-- name: move_head
UPDATE chain SET head = :id, head_hash = :hash;

-- name: move_anchor
UPDATE chain SET anchor = :id, anchor_at = :at, anchor_hash = :hash;

-- name: list_events
-- Newest first. NULL parameters do not filter.
SELECT id, at, actor, verb, job, queue, reason, before, after, hash FROM events
WHERE id < :below AND (:actor IS NULL OR actor = :actor OR actor LIKE :like ESCAPE '\')
AND (:verb IS NULL OR verb = :verb) AND (:job IS NULL OR job = :job) AND (:queue IS NULL OR queue = :queue)
AND (:since IS NULL OR at >= :since) AND (:until IS NULL OR at < :until)
ORDER BY id DESC LIMIT :limit;

-- name: oldest_event
SELECT at FROM events ORDER BY id LIMIT 1;

-- name: events_after
SELECT id, at, actor, verb, job, queue, reason, before, after, hash FROM events
WHERE id > :after ORDER BY id LIMIT :limit;

-- name: count_older
SELECT count(*) FROM events WHERE id <= :anchor;

-- name: forget_events
DELETE FROM events WHERE id <= :last;

-- name: set_aside_before
-- Jobs in a final state other than completed, whose payload is where it belongs; an id below :high is older.
SELECT {columns} FROM jobs
WHERE state = :state AND state NOT IN ('pending', 'processing', 'completed') AND id < :high AND confirmed = 1
AND updated_at < :before ORDER BY id LIMIT :limit;

-- name: completed_before
-- Completed jobs whose input is gone. An id below :high was made before the limit, so the scan starts at the oldest.
SELECT {columns} FROM jobs
WHERE id < :high AND state = 'completed' AND place = 'gone' AND confirmed = 1 AND updated_at < :before
ORDER BY id LIMIT :limit;

-- name: set_aside_before_in
-- The same of one queue (or all), without some: where queues keep for times of their own.
SELECT {columns} FROM jobs
WHERE state = :state AND state NOT IN ('pending', 'processing', 'completed') AND id < :high AND confirmed = 1
AND updated_at < :before AND queue = coalesce(:queue, queue) AND queue NOT IN ({listed}) ORDER BY id LIMIT :limit;

-- name: completed_before_in
SELECT {columns} FROM jobs
WHERE id < :high AND state = 'completed' AND place = 'gone' AND confirmed = 1 AND updated_at < :before
AND queue = coalesce(:queue, queue) AND queue NOT IN ({listed}) ORDER BY id LIMIT :limit;

-- name: amend
-- The tree proves what an index older than the tree does not know: that this job was completed.
UPDATE jobs SET state = 'completed', place = 'done', confirmed = 1, output = :output, updated_at = :updated_at,
                error = :error
WHERE id = :id AND state = :state AND attempt = :attempt AND state IN ('pending', 'held')
RETURNING id;

-- name: note_gone
-- The payload of a job that has ended is nowhere, and nothing brings it back.
UPDATE jobs SET place = 'gone', confirmed = 1
WHERE id = :id AND state = :state AND attempt = :attempt AND place IN ('done', 'dead', 'cancelled')
RETURNING id;

-- name: note_size
UPDATE jobs SET size = :size WHERE id = :id AND state IN ('pending', 'held') AND attempt = :attempt RETURNING id;

-- name: let_go
-- A tombstone: the payload of a job that has ended is about to be removed. Nobody can steer the job any more.
UPDATE jobs SET place = 'gone', confirmed = 0
WHERE id = :id AND place IN ('done', 'dead', 'cancelled') AND confirmed = 1
RETURNING id;

-- name: confirm_gone
UPDATE jobs SET confirmed = 1 WHERE id = :id AND place = 'gone';

-- name: delete_job
DELETE FROM jobs WHERE id = :id AND state = :state AND confirmed = 1 RETURNING id;

-- name: delete_attempts
DELETE FROM attempts WHERE job = :job;

-- name: jobs_after
SELECT {columns} FROM jobs WHERE id > :after ORDER BY id LIMIT :limit;

-- name: outlines_after
SELECT {outline} FROM jobs WHERE id > :after ORDER BY id LIMIT :limit;

-- name: outlines
SELECT {outline} FROM jobs WHERE id IN ({listed});

-- name: outlines_by_output
SELECT output, {outline} FROM jobs WHERE output IN ({listed});

-- name: outlines_by_tail
-- By the last 12 digits of the id, which an output's name has: a scan, for many at once.
SELECT {outline} FROM jobs WHERE substr(id, 25) IN ({listed});

-- name: miscounts
-- What the table of counts says and what is there, where they differ.
SELECT queue, state, sum(told), sum(found) FROM (
  SELECT queue, state, jobs AS told, 0 AS found FROM counts
  UNION ALL SELECT queue, state, 0, count(*) FROM jobs GROUP BY queue, state) AS both_sides
GROUP BY queue, state HAVING sum(told) <> sum(found);

-- name: forget_counts
DELETE FROM counts;

-- name: count_again
INSERT INTO counts (queue, state, jobs) SELECT queue, state, count(*) FROM jobs GROUP BY queue, state;

-- name: odd_stats
SELECT minute, queue FROM stats
WHERE minute > :limit OR ingested < 0 OR completed < 0 OR failed < 0 OR bytes < 0 OR run_seconds < 0;

-- name: forget_odd_stats
DELETE FROM stats
WHERE minute > :limit OR ingested < 0 OR completed < 0 OR failed < 0 OR bytes < 0 OR run_seconds < 0;

-- name: list_jobs
-- Newest first. NULL parameters do not filter.
SELECT {columns} FROM jobs
WHERE (:state IS NULL OR state = :state) AND (:queue IS NULL OR queue = :queue) AND id < :before
ORDER BY id DESC LIMIT :limit;

-- name: list_set_aside
SELECT {columns} FROM jobs
WHERE state = :state AND state NOT IN ('pending', 'processing', 'completed')
AND (:queue IS NULL OR queue = :queue) AND id < :before
ORDER BY id DESC LIMIT :limit;

-- name: list_processing
SELECT {columns} FROM jobs
WHERE confirmed = 0 AND state = 'processing' AND (:queue IS NULL OR queue = :queue) AND coalesce(id, '') < :before
ORDER BY coalesce(id, '') DESC LIMIT :limit;

-- name: page_jobs
-- A window of rows below an id, for pages whose filter the caller applies.
SELECT id, state, queue, name FROM jobs WHERE id < :before AND id >= :low ORDER BY id DESC LIMIT :limit;

-- name: page_set_aside
SELECT id, state, queue, name FROM jobs
WHERE state = :state AND state NOT IN ('pending', 'processing', 'completed') AND id < :before AND id >= :low
ORDER BY id DESC LIMIT :limit;

-- name: page_processing
SELECT id, state, queue, name FROM jobs
WHERE confirmed = 0 AND state = 'processing' AND id < :before AND id >= :low
ORDER BY id DESC LIMIT :limit;

-- name: select_jobs
-- The next jobs in order of id that a filter means. NULL parameters do not filter.
SELECT {columns} FROM jobs
WHERE id > :after AND id < :high AND state = :state
AND (:queue IS NULL OR queue = :queue) AND (:fingerprint IS NULL OR fingerprint = :fingerprint)
AND (:since IS NULL OR updated_at >= :since) AND (:until IS NULL OR updated_at < :until)
ORDER BY id LIMIT :limit;

-- name: select_set_aside
SELECT {columns} FROM jobs
WHERE id > :after AND id < :high AND state = :state AND state NOT IN ('pending', 'processing', 'completed')
AND (:queue IS NULL OR queue = :queue) AND (:fingerprint IS NULL OR fingerprint = :fingerprint)
AND (:since IS NULL OR updated_at >= :since) AND (:until IS NULL OR updated_at < :until)
ORDER BY id LIMIT :limit;

-- name: select_processing
SELECT {columns} FROM jobs
WHERE coalesce(id, '') > :after AND coalesce(id, '') < :high AND confirmed = 0 AND state = 'processing'
AND (:queue IS NULL OR queue = :queue) AND (:fingerprint IS NULL OR fingerprint = :fingerprint)
AND (:since IS NULL OR updated_at >= :since) AND (:until IS NULL OR updated_at < :until)
ORDER BY coalesce(id, '') LIMIT :limit;

-- name: dead_groups
SELECT fingerprint, queue, count(*), min(updated_at), max(updated_at) FROM jobs
WHERE fingerprint IS NOT NULL AND (:queue IS NULL OR queue = :queue)
GROUP BY fingerprint, queue ORDER BY 3 DESC, 5 DESC, fingerprint LIMIT :limit;

-- name: dead_example
SELECT error FROM jobs WHERE fingerprint = :fingerprint AND queue = :queue ORDER BY updated_at DESC LIMIT 1;

-- name: dead_alike
SELECT count(*) FROM (SELECT 1 FROM jobs WHERE fingerprint = :fingerprint AND queue = :queue LIMIT :limit) AS alike;

-- name: dead_queues
SELECT DISTINCT queue FROM jobs WHERE fingerprint = :fingerprint ORDER BY queue;

-- name: dead_of_group
SELECT {columns} FROM jobs
WHERE fingerprint = :fingerprint AND queue = :queue AND (updated_at < :at OR updated_at = :at AND id < :id)
ORDER BY updated_at DESC, id DESC LIMIT :limit;

-- name: descendants
SELECT {columns} FROM jobs WHERE origin = :origin ORDER BY id LIMIT :limit;

-- name: identity
SELECT spool, era FROM identity;

-- name: identify
INSERT INTO identity (only_one, spool, era) VALUES (1, :spool, :era)
ON CONFLICT (only_one) DO UPDATE SET spool = excluded.spool, era = excluded.era;

-- name: disown
DELETE FROM identity;

-- name: believe
-- The tree proves what became of a job since this index was copied. A completed job stays completed.
UPDATE jobs SET state = :state, place = :place, confirmed = :confirmed, due = 0, arriver = :arriver, owner = NULL,
                attempt = CASE WHEN attempt < :attempt THEN :attempt ELSE attempt END, cancel_by = NULL,
                output = :output, updated_at = :updated_at, error = :error, fingerprint = :fingerprint
WHERE id = :id AND state = :from_state AND state <> 'completed'
RETURNING id;

-- name: doubt
-- Its payload is not where the row says; recovery moves it there.
UPDATE jobs SET confirmed = 0 WHERE id = :id AND state = :state AND state <> 'processing' RETURNING id;

-- name: mark_copy
-- In a copy: it is older than any tree beside which it may come to lie.
UPDATE identity SET era = -1;

-- name: add_notice
INSERT INTO notices (number, id, sink, subject, queue, job, kind, body, at, due_at)
VALUES ((SELECT coalesce(max(number), 0) + 1 FROM notices),
        :id, :sink, :subject, :queue, :job, :kind, :body, :at, :at);

-- name: notices_due
SELECT number, id, sink, subject, queue, job, kind, body, at, due_at, tries, error, put_aside_at FROM notices
WHERE put_aside_at IS NULL AND sink = :sink AND due_at <= :now ORDER BY number LIMIT :limit;

-- name: notice_sinks
SELECT DISTINCT sink FROM notices WHERE put_aside_at IS NULL;

-- name: next_notice
SELECT min(due_at) FROM notices WHERE put_aside_at IS NULL;

-- name: notices_delivered
DELETE FROM notices WHERE number = :number AND id = :id;

-- name: notices_superseded
-- A receipt says what became of a file last: what was to be told before that need not be told any more.
DELETE FROM notices WHERE sink = :sink AND subject = :subject AND number <= :number;

-- name: notice_failed
UPDATE notices SET tries = tries + 1, error = :error, due_at = :due_at, put_aside_at = :put_aside_at
WHERE number = :number AND id = :id;

-- name: notices_untold
SELECT number, id, sink, subject, queue, job, kind, body, at, due_at, tries, error, put_aside_at FROM notices
WHERE tries > 0 ORDER BY number LIMIT :limit;

-- name: notices_told_again
UPDATE notices SET put_aside_at = NULL, tries = 0, due_at = :now WHERE tries > 0 RETURNING number;

-- name: notices_dropped
DELETE FROM notices WHERE put_aside_at IS NOT NULL RETURNING number;

-- name: notices_waiting
SELECT (SELECT count(*) FROM notices WHERE put_aside_at IS NOT NULL),
       (SELECT min(due_at) FROM notices WHERE put_aside_at IS NULL);

-- name: beat_host
-- Another machine of the same name changes nothing while the lease of the first lasts.
INSERT INTO hosts (name, boot_id, beat_at, lease) VALUES (:name, :boot_id, :now, :lease)
ON CONFLICT (name) DO UPDATE SET boot_id = excluded.boot_id, beat_at = excluded.beat_at, lease = excluded.lease
WHERE hosts.boot_id = excluded.boot_id OR excluded.beat_at - hosts.beat_at > hosts.lease
RETURNING name;

-- name: hosts
SELECT name, boot_id, beat_at, lease FROM hosts ORDER BY name;

-- name: schedules
SELECT name, wish, created_at, paused_at, done_at, next_at, ran_at, job, trouble FROM schedules ORDER BY name;

-- name: schedule
SELECT name, wish, created_at, paused_at, done_at, next_at, ran_at, job, trouble FROM schedules WHERE name = :name;

-- name: create_schedule
INSERT INTO schedules (name, wish, created_at, paused_at, done_at, next_at)
VALUES (:name, :wish, :created_at, :paused_at, :done_at, :next_at)
ON CONFLICT (name) DO NOTHING RETURNING name;

-- name: wish_schedule
UPDATE schedules SET wish = :wish, paused_at = :paused_at, done_at = :done_at, next_at = :next_at WHERE name = :name
RETURNING name;

-- name: schedule_ran
-- A due time's job, in the transaction that makes it.
UPDATE schedules SET done_at = :at, ran_at = :at, job = :job, trouble = NULL WHERE name = :name AND done_at < :at
RETURNING name;

-- name: schedule_was_run
-- By a person: no due time.
UPDATE schedules SET ran_at = :at, job = :job, trouble = NULL WHERE name = :name RETURNING name;

-- name: schedule_missed
-- A due time that brings no job. Whoever comes second changes nothing.
UPDATE schedules SET done_at = :at, trouble = :trouble WHERE name = :name AND done_at < :at RETURNING name;

-- name: delete_schedule
DELETE FROM schedules WHERE name = :name RETURNING name;
