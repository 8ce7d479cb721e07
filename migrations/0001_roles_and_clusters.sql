-- One database role a process, each with the least grants; passwords are set by whoever runs the database.
DO $$
DECLARE
  role_name text;
BEGIN
  FOREACH role_name IN ARRAY ARRAY['trustline_tvsd', 'trustline_itld'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
      EXECUTE format('CREATE ROLE %I LOGIN', role_name);
    END IF;
  END LOOP;
END $$;

-- Nobody else connects. Temporary tables are for itld's imports.
DO $$
BEGIN
  EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO trustline_tvsd, trustline_itld', current_database());
  EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO trustline_itld', current_database());
END $$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO trustline_tvsd, trustline_itld;
GRANT SELECT ON schema_migration TO trustline_tvsd, trustline_itld;

-- A customer, a site or a call-manager cluster. Single writer: itld.
-- trust_commit numbers the trust store's transactions: each locks this row and increments it, so that the number is the
-- commit order, and a reader asks for what is greater than its last.
CREATE TABLE cluster (
  cluster_id   integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name         text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  time_zone    text NOT NULL DEFAULT 'UTC',
  trust_commit bigint NOT NULL DEFAULT 0,
  created_at   timestamptz NOT NULL DEFAULT now()
);
INSERT INTO cluster (name) VALUES ('default');

GRANT SELECT ON cluster TO trustline_tvsd, trustline_itld;
GRANT INSERT (name, time_zone), UPDATE (trust_commit) ON cluster TO trustline_itld;
