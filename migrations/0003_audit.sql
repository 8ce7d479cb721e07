-- The audit log. Rows enter through audit_append only, in the transaction of what they record; itld's sealer chains
-- committed rows by hash. Nobody may change or delete a row.
CREATE TABLE audit_event (
  cluster_id  integer NOT NULL,
  at          timestamptz NOT NULL,
  event_id    bigint GENERATED ALWAYS AS IDENTITY,
  occurred_at timestamptz NOT NULL,
  actor       text NOT NULL,   -- identity URI
  action      text NOT NULL,
  subject     text NOT NULL,
  outcome     text NOT NULL CHECK (outcome IN ('done', 'denied', 'failed')),
  detail      text NOT NULL,   -- a JSON object, kept as the text that the hash covers
  PRIMARY KEY (cluster_id, at, event_id)
) PARTITION BY RANGE (at);
CREATE TABLE audit_event_default PARTITION OF audit_event DEFAULT;
CREATE INDEX audit_event_id ON audit_event (event_id);

-- Rows that the sealer has not reached.
CREATE TABLE audit_unsealed (
  event_id bigint PRIMARY KEY,
  at       timestamptz NOT NULL
);

-- The chain: hash = SHA-256(previous hash, number, the row's fields). Single writer: itld.
CREATE TABLE audit_seal (
  number    bigint PRIMARY KEY,
  event_id  bigint NOT NULL UNIQUE,
  at        timestamptz NOT NULL,
  hash      bytea NOT NULL CHECK (length(hash) = 32),
  sealed_at timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION audit_append(cluster_id integer, occurred_at timestamptz, actor text, action text, subject text,
                             outcome text, detail text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  inserted_at timestamptz := clock_timestamp();
  new_id bigint;
BEGIN
  -- Only itld changes anything: no other process may say that something was done.
  IF session_user = 'trustline_tvsd' AND $6 <> 'denied' THEN
    RAISE insufficient_privilege USING MESSAGE = 'tvsd records denials only';
  END IF;
  INSERT INTO audit_event (cluster_id, at, occurred_at, actor, action, subject, outcome, detail)
    VALUES ($1, inserted_at, coalesce($2, inserted_at), $3, $4, $5, $6, $7)
    RETURNING event_id INTO new_id;
  INSERT INTO audit_unsealed (event_id, at) VALUES (new_id, inserted_at);
  RETURN new_id;
END $$;
REVOKE ALL ON FUNCTION audit_append FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_append TO trustline_tvsd, trustline_itld;

-- Makes the monthly partitions from this month to two months ahead. Rows of a month without one are in the default
-- partition; a partition over rows that are there already is left out.
CREATE FUNCTION audit_create_partitions() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
-- Behind a long reader of the log it gives up, instead of making every writer wait behind itself.
SET lock_timeout = '200ms' AS $$
DECLARE
  first_day date;
  partition_name text;
  created integer := 0;
BEGIN
  FOR ahead IN 0..2 LOOP
    first_day := (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => ahead))::date;
    partition_name := 'audit_event_' || to_char(first_day, 'YYYY_MM');
    IF to_regclass(partition_name) IS NULL AND NOT EXISTS (
        SELECT FROM audit_event_default
        WHERE at >= first_day::timestamp AT TIME ZONE 'UTC'
          AND at < (first_day + interval '1 month') AT TIME ZONE 'UTC') THEN
      EXECUTE format('CREATE TABLE %I PARTITION OF audit_event FOR VALUES FROM (%L) TO (%L)', partition_name,
                     first_day::timestamp AT TIME ZONE 'UTC', (first_day + interval '1 month') AT TIME ZONE 'UTC');
      created := created + 1;
    END IF;
  END LOOP;
  RETURN created;
END $$;
REVOKE ALL ON FUNCTION audit_create_partitions FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_create_partitions TO trustline_itld;
SELECT audit_create_partitions();

GRANT SELECT ON audit_event TO trustline_itld;
GRANT SELECT, DELETE ON audit_unsealed TO trustline_itld;
GRANT SELECT, INSERT ON audit_seal TO trustline_itld;
