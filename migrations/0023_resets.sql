-- Resets of phones in waves. Single writer: itld.
CREATE TABLE phone_reset (
  cluster_id       integer NOT NULL REFERENCES cluster,
  reset_id         integer GENERATED ALWAYS AS IDENTITY,
  state            text NOT NULL DEFAULT 'running'
                   CHECK (state IN ('running', 'paused', 'stopped', 'done', 'aborted')),
  state_reason     text NOT NULL DEFAULT '',
  wave             integer NOT NULL CHECK (wave BETWEEN 1 AND 10000),
  pause_seconds    integer NOT NULL CHECK (pause_seconds BETWEEN 0 AND 86400),
  hours            text NOT NULL,           -- "22:00-05:00" in the cluster's time zone; empty: always
  stop_at_failures double precision NOT NULL CHECK (stop_at_failures BETWEEN 0 AND 1),
  hook             text NOT NULL,           -- a name of itld's configuration
  reason           text NOT NULL,
  ordered_by       text NOT NULL,
  ordered_at       timestamptz NOT NULL,
  ended_at         timestamptz,
  next_wave_at     timestamptz NOT NULL,
  plan_id          integer NOT NULL DEFAULT 0,  -- 0: no plan ordered it
  -- How many phones it has, and how many of them are in which state. Kept with each wave: a million need not be counted.
  phones           bigint NOT NULL DEFAULT 0,
  accepted         bigint NOT NULL DEFAULT 0,
  failed           bigint NOT NULL DEFAULT 0,
  gone             bigint NOT NULL DEFAULT 0,
  -- Those of before it was resumed after too many failures: they do not stop it again.
  forgiven_tried   bigint NOT NULL DEFAULT 0,
  forgiven_failed  bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (cluster_id, reset_id)
);
CREATE INDEX phone_reset_open ON phone_reset (cluster_id, reset_id) WHERE ended_at IS NULL;

-- 'handed over' is committed before the hook runs: after a crash it says which phones the hook may have been given.
-- 'gone': left service before its wave.
CREATE TABLE phone_reset_phone (
  cluster_id integer NOT NULL,
  reset_id   integer NOT NULL,
  device     text COLLATE "C" NOT NULL,
  state      text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'handed over', 'accepted', 'failed', 'gone')),
  answer     text NOT NULL DEFAULT '' CHECK (length(answer) <= 400),
  at         timestamptz,
  PRIMARY KEY (cluster_id, reset_id, device),
  FOREIGN KEY (cluster_id, reset_id) REFERENCES phone_reset
);
CREATE INDEX phone_reset_phone_state ON phone_reset_phone (cluster_id, reset_id, state, device);

GRANT SELECT, INSERT, UPDATE, DELETE ON phone_reset, phone_reset_phone TO trustline_itld;
