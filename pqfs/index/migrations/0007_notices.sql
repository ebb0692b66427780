-- What is still to be told: receipts for producers, and what hooks are to hear. Only of queues that want it.

CREATE TABLE notices (
  number {bigint} NOT NULL PRIMARY KEY,  -- the order in which it happened, among those that wait
  id TEXT NOT NULL,                      -- what a receiver knows it by, over all tries
  sink TEXT NOT NULL,                    -- 'receipt', or the mark of a hook
  subject TEXT NOT NULL,                 -- the receipt that it is about: a later one takes its place
  queue TEXT NOT NULL,
  job TEXT,
  kind TEXT NOT NULL,
  body TEXT NOT NULL,                    -- JSON
  at {real} NOT NULL,
  due_at {real} NOT NULL,
  tries {bigint} NOT NULL DEFAULT 0,
  error TEXT,
  put_aside_at {real},                   -- given up after so many tries, until a person decides
  CONSTRAINT a_notice_that_was_put_aside_was_tried CHECK (put_aside_at IS NULL OR tries > 0)
) {strict};
CREATE INDEX notices_due ON notices (sink, due_at, number) WHERE put_aside_at IS NULL;
CREATE INDEX notices_put_aside ON notices (number) WHERE put_aside_at IS NOT NULL;
