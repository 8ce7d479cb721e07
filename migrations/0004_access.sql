-- Who may do what on which cluster. Single writer: itld. Every service reads it to decide about its callers.
CREATE TABLE access_grant (
  cluster_id integer NOT NULL REFERENCES cluster,
  person     text NOT NULL CHECK (person ~ '^[A-Za-z0-9._@-]{1,64}$'),
  role       text NOT NULL CHECK (role IN ('viewer', 'operator', 'administrator', 'auditor')),
  granted_by text NOT NULL,
  granted_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (cluster_id, person, role)
);

CREATE FUNCTION notify_access_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('access_change', '');
  RETURN NULL;
END $$;
CREATE TRIGGER access_grant_change AFTER INSERT OR UPDATE OR DELETE ON access_grant
  FOR EACH STATEMENT EXECUTE FUNCTION notify_access_change();

GRANT SELECT ON access_grant TO trustline_tvsd, trustline_itld;
GRANT INSERT, DELETE ON access_grant TO trustline_itld;
