-- Plans: changes of trust in steps. Single writer: itld.
CREATE TABLE trust_plan (
  cluster_id       integer NOT NULL REFERENCES cluster,
  plan_id          integer GENERATED ALWAYS AS IDENTITY,
  kind             text NOT NULL CHECK (kind IN ('rollover callmanager', 'rollover itlrecovery', 'rollover tvs',
                                                 'rollover capf', 'migrate', 'rollback')),
  subject          text NOT NULL,   -- the TFTP server, the node, the other cluster; empty: the cluster
  state            text NOT NULL CHECK (state IN ('made', 'running', 'paused', 'stopped', 'done', 'aborted')),
  state_reason     text NOT NULL DEFAULT '',
  aborting         boolean NOT NULL DEFAULT false,  -- its changes are being taken back
  old_sha256       bytea REFERENCES certificate,
  new_sha256       bytea REFERENCES certificate,
  new_certificate  bytea NOT NULL DEFAULT '',  -- as new_sha256, also while nothing has taken it into the trust store
  new_key_name     text NOT NULL DEFAULT '',
  detail           bytea NOT NULL DEFAULT '',  -- what a migration brings: an export, as it was given
  blank            boolean NOT NULL DEFAULT false,
  with_resets      boolean NOT NULL,
  wave             integer NOT NULL,
  hours            text NOT NULL,
  stop_at_failures double precision NOT NULL,
  hook             text NOT NULL,
  accepted_unproven bigint NOT NULL DEFAULT 0,
  reason           text NOT NULL,
  made_by          text NOT NULL,
  made_at          timestamptz NOT NULL DEFAULT now(),
  ended_at         timestamptz,
  PRIMARY KEY (cluster_id, plan_id)
);
-- Two at once would take each other's ways away.
CREATE UNIQUE INDEX trust_plan_open ON trust_plan (cluster_id) WHERE ended_at IS NULL;

CREATE TABLE trust_plan_step (
  cluster_id integer NOT NULL,
  plan_id    integer NOT NULL,
  step       integer NOT NULL,
  action     text NOT NULL,
  state      text NOT NULL DEFAULT 'ahead'
             CHECK (state IN ('ahead', 'waiting', 'done', 'skipped', 'failed', 'taken back')),
  progress   text NOT NULL DEFAULT '',
  reset_id   integer NOT NULL DEFAULT 0,  -- that it ordered
  began_at   timestamptz,
  ended_at   timestamptz,
  PRIMARY KEY (cluster_id, plan_id, step),
  FOREIGN KEY (cluster_id, plan_id) REFERENCES trust_plan
);

-- A signer that is to come: it stands in the lists beside the present one, and signs nothing yet; or one that is to go,
-- and still stands in them.
ALTER TABLE list_signer ADD overlapping boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN list_signer.overlapping IS 'in the lists beside the signer of the same server that is not replaced';
COMMENT ON COLUMN list_signer.replaced_at IS '-infinity: it overlapped, and never was the signer';
DROP INDEX list_signer_present;
CREATE UNIQUE INDEX list_signer_present ON list_signer (cluster_id, tftp_server) WHERE replaced_at IS NULL AND NOT overlapping;
CREATE UNIQUE INDEX list_signer_overlapping ON list_signer (cluster_id, tftp_server) WHERE overlapping;

GRANT SELECT, INSERT, UPDATE ON trust_plan, trust_plan_step TO trustline_itld;
