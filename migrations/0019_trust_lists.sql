-- Trust lists (ITL, CTL): what they are made by, every generation that was published, and what waits for an
-- administrator. Single writer: itld.

-- How a cluster's lists are made. A cluster gets its row with its first TFTP server. Whoever changes anything about a
-- cluster's lists locks this row first.
CREATE TABLE trust_list_policy (
  cluster_id          integer PRIMARY KEY REFERENCES cluster,
  tftp_role           smallint NOT NULL CHECK (tftp_role IN (2, 3)),  -- of CallManager certificates: CCM+TFTP or TFTP
  recovery_years      smallint NOT NULL CHECK (recovery_years IN (5, 10, 15, 20)),
  digest              smallint NOT NULL DEFAULT 1 CHECK (digest IN (1, 3)),  -- SHA-1, SHA-512
  signer_version      smallint NOT NULL DEFAULT 0 CHECK (signer_version IN (0, 1)),  -- 1.0, 1.1
  vendor_names        boolean NOT NULL DEFAULT false,  -- names with ';', serial number before issuer
  organization        text NOT NULL,
  organizational_unit text NOT NULL,
  mixed_mode          boolean NOT NULL DEFAULT false,
  blank               boolean NOT NULL DEFAULT false,  -- prepared for a rollback
  blank_since         timestamptz,
  blank_by            text,
  -- The number of the trust store's last change that the lists were compared with.
  considered_commit   bigint NOT NULL DEFAULT -1,
  CHECK (blank = (blank_since IS NOT NULL))
);

-- Each has an ITL of its own.
CREATE TABLE tftp_server (
  cluster_id integer NOT NULL REFERENCES cluster,
  name       text NOT NULL CHECK (name ~ '^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$'),
  host       text NOT NULL,  -- as DNS has it; stands in its CallManager certificate
  added_by   text NOT NULL,
  added_at   timestamptz NOT NULL DEFAULT now(),
  removed_at timestamptz,
  PRIMARY KEY (cluster_id, name)
);

-- Certificates whose private keys itld holds, in files that are named by key_name: the ITLRecovery one of a cluster
-- (tftp_server is empty) and the CallManager one of each TFTP server. Those that were replaced stay, because phones may
-- hold lists that they signed.
CREATE TABLE list_signer (
  cluster_id  integer NOT NULL REFERENCES cluster,
  signer_id   integer GENERATED ALWAYS AS IDENTITY,
  tftp_server text NOT NULL,
  sha256      bytea NOT NULL REFERENCES certificate,
  key_name    text NOT NULL,
  reason      text NOT NULL,  -- why it took its predecessor's place
  created_by  text NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT now(),
  replaced_at timestamptz,
  PRIMARY KEY (cluster_id, signer_id)
);
CREATE UNIQUE INDEX list_signer_present ON list_signer (cluster_id, tftp_server) WHERE replaced_at IS NULL;

-- A file that phones fetch: the ITL of a TFTP server for all phones or for one device, the CTL of a cluster.
CREATE TABLE trust_list (
  cluster_id     integer NOT NULL REFERENCES cluster,
  list_id        integer GENERATED ALWAYS AS IDENTITY,
  kind           text NOT NULL CHECK (kind IN ('ITL', 'CTL')),
  tftp_server    text NOT NULL,            -- empty for a CTL
  device         text NOT NULL DEFAULT '', -- empty: for all phones
  digest         smallint CHECK (digest IN (1, 3)),  -- of a device's list; else the policy's
  signer_version smallint CHECK (signer_version IN (0, 1)),
  local_signer   boolean NOT NULL DEFAULT false,  -- by the TFTP server's CallManager key instead of ITLRecovery
  generation     bigint NOT NULL DEFAULT 0,  -- the published one; 0: none yet
  added_by       text NOT NULL,
  added_at       timestamptz NOT NULL DEFAULT now(),
  removed_at     timestamptz,
  PRIMARY KEY (cluster_id, list_id),
  UNIQUE (cluster_id, kind, tftp_server, device),
  CHECK ((kind = 'CTL') = (tftp_server = ''))
);

CREATE TABLE trust_list_generation (
  cluster_id     integer NOT NULL,
  list_id        integer NOT NULL,
  generation     bigint NOT NULL CHECK (generation > 0),
  file           bytea NOT NULL,
  sha1           bytea NOT NULL CHECK (length(sha1) = 20),
  md5            bytea NOT NULL CHECK (length(md5) = 16),
  sha256         bytea NOT NULL CHECK (length(sha256) = 32),
  content_sha256 bytea NOT NULL CHECK (length(content_sha256) = 32),  -- of all but signature and timestamp
  signer_sha256  bytea NOT NULL CHECK (length(signer_sha256) = 32),
  digest         smallint NOT NULL,
  signer_version smallint NOT NULL,
  records        integer NOT NULL,
  reason         text NOT NULL,
  published_by   text NOT NULL,
  published_at   timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (cluster_id, list_id, generation),
  FOREIGN KEY (cluster_id, list_id) REFERENCES trust_list
);
CREATE INDEX trust_list_generation_sha1 ON trust_list_generation (cluster_id, sha1);
CREATE INDEX trust_list_generation_md5 ON trust_list_generation (cluster_id, md5);
CREATE INDEX trust_list_generation_sha256 ON trust_list_generation (cluster_id, sha256);

-- What a list would say now, where that is not published: it waits for an administrator or for TVS nodes, or is refused.
CREATE TABLE trust_list_candidate (
  cluster_id     integer NOT NULL,
  list_id        integer NOT NULL,
  content_sha256 bytea NOT NULL CHECK (length(content_sha256) = 32),
  state          text NOT NULL CHECK (state IN ('approval', 'nodes', 'refused')),
  reason         text NOT NULL,
  changes        text NOT NULL,  -- a line each
  since          timestamptz NOT NULL DEFAULT now(),
  -- Of an administrator who published it while it had to wait for nodes.
  approved_by     text,
  approval_reason text,
  PRIMARY KEY (cluster_id, list_id),
  FOREIGN KEY (cluster_id, list_id) REFERENCES trust_list
);

-- What phones are recorded to be able to read, by device or by model. A phone without a row reads SHA-1 and signer
-- version 1.0.
CREATE TABLE phone_reading (
  cluster_id  integer NOT NULL REFERENCES cluster,
  device      text NOT NULL,  -- empty in a model's row
  model       text NOT NULL,  -- empty in a device's row
  sha512      boolean NOT NULL,
  version_1_1 boolean NOT NULL,
  recorded_by text NOT NULL,
  recorded_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (cluster_id, device, model),
  CHECK ((device = '') <> (model = ''))
);

GRANT SELECT, INSERT, UPDATE ON trust_list_policy, tftp_server, list_signer, trust_list TO trustline_itld;
GRANT SELECT, INSERT ON trust_list_generation TO trustline_itld;
GRANT SELECT, INSERT, UPDATE, DELETE ON trust_list_candidate, phone_reading TO trustline_itld;
-- Of cad's table: which phones there are, for what all of them can read.
GRANT SELECT (cluster_id, name, model, state) ON device TO trustline_itld;

-- Lists are composed of few entries, whatever else the trust store holds.
CREATE INDEX trust_entry_listed ON trust_entry (cluster_id) WHERE listed AND removed_at IS NULL;
