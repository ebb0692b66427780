-- Whose index this is, and of when: held against the spool's own mark, so that another spool's index, or an old copy of
-- this one, is recognised. One row at most; none in an index that is still being made.

CREATE TABLE identity (
  only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
  spool TEXT NOT NULL,
  era {bigint} NOT NULL                -- grows each time that the last process closes the index
) {strict};
