-- Which rows change while the index is moved, on SQLite. `_of`: once for each {table}, with its keys.

-- name: record_changes
CREATE TABLE changes (kind TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (kind, key)) STRICT, WITHOUT ROWID;

-- name: record_changes_of
CREATE TRIGGER {table}_recorded_in AFTER INSERT ON {table} BEGIN
  INSERT INTO changes (kind, key) VALUES ('{table}', json_array({new_keys})) ON CONFLICT (kind, key) DO NOTHING;
END;
CREATE TRIGGER {table}_recorded_over AFTER UPDATE ON {table} BEGIN
  INSERT INTO changes (kind, key) VALUES ('{table}', json_array({old_keys})) ON CONFLICT (kind, key) DO NOTHING;
  INSERT INTO changes (kind, key) VALUES ('{table}', json_array({new_keys})) ON CONFLICT (kind, key) DO NOTHING;
END;
CREATE TRIGGER {table}_recorded_out AFTER DELETE ON {table} BEGIN
  INSERT INTO changes (kind, key) VALUES ('{table}', json_array({old_keys})) ON CONFLICT (kind, key) DO NOTHING;
END;

-- name: forget_changes
DROP TABLE IF EXISTS changes;

-- name: forget_changes_of
DROP TRIGGER IF EXISTS {table}_recorded_in;
DROP TRIGGER IF EXISTS {table}_recorded_over;
DROP TRIGGER IF EXISTS {table}_recorded_out;

-- name: changed_of
SELECT 1 FROM changes WHERE kind = '{table}' AND key = json_array({given_keys});

-- name: is_recorded
SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'changes';

-- name: count_changes
SELECT count(*) FROM changes WHERE kind <> '';

-- name: take_changes
DELETE FROM changes WHERE (kind, key) IN (SELECT kind, key FROM changes WHERE kind <> '' ORDER BY kind, key LIMIT :limit)
RETURNING kind, key;

-- name: sign_changes
INSERT INTO changes (kind, key) VALUES ('', :whose);

-- name: whose_changes
SELECT key FROM changes WHERE kind = '';
