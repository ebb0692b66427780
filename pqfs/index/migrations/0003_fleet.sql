-- Which consumers a person wants to run, and which jobs one of them alone may claim.

CREATE TABLE roster (
  only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
  slots TEXT NOT NULL                  -- JSON: a consumer that is to run -> the queues that it serves, null for all
) {strict};

ALTER TABLE jobs ADD COLUMN assigned_to TEXT;  -- the only program (consumer-03) that may claim it; NULL: any

-- Who claims does not even pass by what is assigned to others.
DROP INDEX jobs_to_claim;
CREATE INDEX jobs_to_claim ON jobs (queue, priority DESC, ready_at, id)
WHERE state = 'pending' AND due = 1 AND assigned_to IS NULL;
CREATE INDEX jobs_assigned ON jobs (assigned_to, priority DESC, ready_at, id, queue)
WHERE state = 'pending' AND assigned_to IS NOT NULL;
