-- What phones asked TVS, counted by the hour: an early sign of phones whose lists do not know what is served.
-- Single writer: itld. What a phone calls itself is its own word.

-- What was asked about. All three names empty: many, for which there was no room.
CREATE TABLE tvs_question_signer (
  cluster_id integer NOT NULL REFERENCES cluster,
  signer_id  integer GENERATED ALWAYS AS IDENTITY,
  kind       text NOT NULL CHECK (kind IN ('verify', 'query')),
  subject    text NOT NULL,
  issuer     text NOT NULL,
  serial     bytea NOT NULL CHECK (length(serial) <= 64),
  last_at    timestamptz NOT NULL,  -- the hour of its last question; it goes when no question is as old
  PRIMARY KEY (cluster_id, signer_id),
  UNIQUE (cluster_id, kind, serial, issuer, subject)
);

CREATE TABLE tvs_question (
  cluster_id integer NOT NULL,
  at         timestamptz NOT NULL,             -- the beginning of the hour
  device     text COLLATE "C" NOT NULL,        -- empty: without a name, or without room
  signer_id  integer NOT NULL,
  valid      boolean NOT NULL,                 -- what the phone was told
  reason     smallint NOT NULL,                -- InvalidReason of proto/verification.proto; 0: none
  node       text NOT NULL,                    -- that was asked
  count      bigint NOT NULL CHECK (count > 0),
  first_at   timestamptz NOT NULL,
  last_at    timestamptz NOT NULL,
  address    text NOT NULL,                    -- the last one that asked
  PRIMARY KEY (cluster_id, at, device, signer_id, valid, reason, node)
) PARTITION BY RANGE (at);
CREATE INDEX tvs_question_device ON tvs_question (cluster_id, device, at);
CREATE INDEX tvs_question_invalid ON tvs_question (cluster_id, at) WHERE NOT valid;
CREATE TABLE tvs_question_default PARTITION OF tvs_question DEFAULT;
SELECT month_partitions_create('tvs_question');

-- The last batch of each process of a node, so that one that is sent again counts once.
CREATE TABLE tvs_question_batch (
  cluster_id integer NOT NULL REFERENCES cluster,
  node       text NOT NULL,
  process    bigint NOT NULL,
  batch      bigint NOT NULL,
  at         timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (cluster_id, node, process)
);

-- How many rows came within the hour `at`. Anybody may ask TVS under any name: what exceeds the limits is counted
-- without a name. A batch locks its cluster's row, so that batches come one after the other.
CREATE TABLE tvs_question_room (
  cluster_id integer PRIMARY KEY REFERENCES cluster,
  at         timestamptz NOT NULL,
  questions  integer NOT NULL,
  signers    integer NOT NULL
);

GRANT SELECT, INSERT, UPDATE ON tvs_question, tvs_question_room TO trustline_itld;
GRANT SELECT, INSERT, UPDATE, DELETE ON tvs_question_signer, tvs_question_batch TO trustline_itld;
