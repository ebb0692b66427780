-- Which rows change while the index is moved, on PostgreSQL. `_of`: once for each {table}, with its keys.

-- name: record_changes
CREATE TABLE changes (kind TEXT COLLATE "C" NOT NULL, key TEXT COLLATE "C" NOT NULL, PRIMARY KEY (kind, key));

-- name: record_changes_of
CREATE FUNCTION record_{table}() RETURNS trigger LANGUAGE plpgsql AS $record$
BEGIN
  IF TG_OP <> 'INSERT' THEN
    INSERT INTO changes (kind, key) VALUES ('{table}', CAST(json_build_array({old_keys}) AS text))
    ON CONFLICT (kind, key) DO NOTHING;
  END IF;
  IF TG_OP <> 'DELETE' THEN
    INSERT INTO changes (kind, key) VALUES ('{table}', CAST(json_build_array({new_keys}) AS text))
    ON CONFLICT (kind, key) DO NOTHING;
  END IF;
  RETURN NULL;
END
$record$;
CREATE TRIGGER {table}_recorded AFTER INSERT OR UPDATE OR DELETE ON {table}
FOR EACH ROW EXECUTE FUNCTION record_{table}();

-- name: forget_changes
DROP TABLE IF EXISTS changes;

-- name: forget_changes_of
DROP TRIGGER IF EXISTS {table}_recorded ON {table};
DROP FUNCTION IF EXISTS record_{table};

-- name: changed_of
SELECT 1 FROM changes WHERE kind = '{table}' AND key = CAST(json_build_array({cast_keys}) AS text);

-- name: is_recorded
SELECT 1 WHERE to_regclass('changes') IS NOT NULL;

-- name: count_changes
SELECT count(*) FROM changes WHERE kind <> '';

-- name: take_changes
DELETE FROM changes WHERE (kind, key) IN (SELECT kind, key FROM changes WHERE kind <> '' ORDER BY kind, key LIMIT :limit)
RETURNING kind, key;

-- name: sign_changes
INSERT INTO changes (kind, key) VALUES ('', :whose);

-- name: whose_changes
SELECT key FROM changes WHERE kind = '';
