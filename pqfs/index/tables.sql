-- What is asked of a whole table, whatever it means: {table}, its {columns}, the {keys} that they begin with.

-- name: count
SELECT count(*) FROM {table};

-- name: first
SELECT {columns} FROM {table} ORDER BY {keys} LIMIT :limit;

-- name: next
SELECT {columns} FROM {table} WHERE ({keys}) > ({given_keys}) ORDER BY {keys} LIMIT :limit;

-- name: get
SELECT {columns} FROM {table} WHERE ({keys}) = ({given_keys});

-- name: get_many
-- Only PostgreSQL: as below.
SELECT {columns} FROM {table} WHERE ({keys}) IN (SELECT * FROM unnest({given_key_arrays}));

-- name: put
INSERT INTO {table} ({columns}) VALUES ({given}) ON CONFLICT ({keys}) DO UPDATE SET {replaced};

-- name: put_many
-- Only PostgreSQL: parameters that come as one array a column.
INSERT INTO {table} ({columns}) SELECT * FROM unnest({given_arrays}) ON CONFLICT ({keys}) DO UPDATE SET {replaced};

-- name: drop
DELETE FROM {table} WHERE ({keys}) = ({given_keys});
