-- Phones' enrolment: what capfd is to do with which device, how it proves itself, and what became of it. Single writer:
-- capfd.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'trustline_capfd') THEN
    CREATE ROLE trustline_capfd LOGIN;
  END IF;
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO trustline_capfd', current_database());
END $$;
GRANT USAGE ON SCHEMA public TO trustline_capfd;
GRANT SELECT ON schema_migration, cluster, access_grant TO trustline_capfd;
GRANT SELECT (identity, removed_at) ON node TO trustline_capfd;
GRANT EXECUTE ON FUNCTION audit_append TO trustline_capfd;
-- What anybody may know of devices, their certificates and their issuers; nothing of how they are issued.
GRANT SELECT ON device, client_authority, trust_crl TO trustline_capfd;
GRANT SELECT (cluster_id, authority_id, state, subject, certificate, chain, not_before, not_after) ON ca_authority
  TO trustline_capfd;
GRANT SELECT (cluster_id, issuance_id, authority_id, device, state, serial, sha256, subject, public_key, not_before,
              not_after, requested_by, signed_at, delivered_at, confirmed_at, revoked_at, revocation_reason)
  ON issuance TO trustline_capfd;
-- Whether phones may know a listener's certificate.
GRANT SELECT (cluster_id, sha256, role, removed_at) ON trust_entry TO trustline_capfd;

-- A campaign schedules installations in waves.
CREATE TABLE capf_campaign (
  cluster_id        integer NOT NULL REFERENCES cluster,
  campaign_id       integer GENERATED ALWAYS AS IDENTITY,
  state             text NOT NULL CHECK (state IN ('created', 'running', 'paused', 'finished')),
  state_reason      text NOT NULL DEFAULT '',
  -- Which devices: those whose certificate in force ends before a time, or is of an authority; at least one is given.
  expires_before    timestamptz,
  authority_id      integer,
  -- Never by string: nobody would be shown it.
  authentication    text NOT NULL CHECK (authentication IN ('null', 'certificate-lsc', 'certificate-mic')),
  key_order         text NOT NULL CHECK (key_order IN ('rsa', 'ec', 'ec-preferred')),
  rsa_bits          integer NOT NULL CHECK (rsa_bits IN (2048, 3072, 4096)),
  curve             text NOT NULL CHECK (curve IN ('secp256r1', 'secp384r1', 'secp521r1')),
  wave_size         integer NOT NULL CHECK (wave_size BETWEEN 1 AND 100000),
  -- Minutes of the day in the cluster's time zone between which waves begin; equal: always.
  from_minute       integer NOT NULL CHECK (from_minute BETWEEN 0 AND 1439),
  until_minute      integer NOT NULL CHECK (until_minute BETWEEN 0 AND 1439),
  -- Of 100 operations that ended, so many failed or expired: it pauses. 0: never.
  stop_at_failures  integer NOT NULL CHECK (stop_at_failures BETWEEN 0 AND 100),
  operation_seconds bigint NOT NULL CHECK (operation_seconds > 0),  -- from the beginning of a wave to its deadline
  waves             integer NOT NULL DEFAULT 0,                     -- begun so far
  -- The first of them: those up to the last pause by failures, which are not held against it once more.
  forgiven_waves    integer NOT NULL DEFAULT 0 CHECK (forgiven_waves BETWEEN 0 AND waves),
  created_by        text NOT NULL,
  created_at        timestamptz NOT NULL DEFAULT now(),
  changed_at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (cluster_id, campaign_id),
  CHECK (expires_before IS NOT NULL OR authority_id IS NOT NULL)
);
CREATE INDEX capf_campaign_running ON capf_campaign (cluster_id, campaign_id) WHERE state = 'running';

CREATE TABLE capf_operation (
  cluster_id       integer NOT NULL REFERENCES cluster,
  operation_id     bigint GENERATED ALWAYS AS IDENTITY,
  device           text NOT NULL,  -- not a reference: what was done outlives the device's row
  operation        text NOT NULL CHECK (operation IN ('install', 'fetch', 'delete')),
  -- failed, expired (at its deadline) and cancelled say why in reason.
  state            text NOT NULL
                   CHECK (state IN ('pending', 'in progress', 'success', 'failed', 'expired', 'cancelled')),
  reason           text NOT NULL DEFAULT '',
  authentication   text NOT NULL CHECK (authentication IN ('string', 'null', 'certificate-lsc', 'certificate-mic')),
  key_order        text NOT NULL CHECK (key_order IN ('rsa', 'ec', 'ec-preferred')),
  rsa_bits         integer NOT NULL CHECK (rsa_bits IN (2048, 3072, 4096)),
  curve            text NOT NULL CHECK (curve IN ('secp256r1', 'secp384r1', 'secp521r1')),
  -- HMAC-SHA-256 of the authentication string under capfd's key, over the salt and the string.
  string_salt      bytea CHECK (length(string_salt) = 16),
  string_hmac      bytea CHECK (length(string_hmac) = 32),
  string_used_at   timestamptz,  -- the device has acknowledged what it got for it
  -- Of a success: the device was told. One that was not comes again, and finds that it has done all it had to.
  end_told         boolean NOT NULL DEFAULT false,
  wrong_strings    integer NOT NULL DEFAULT 0,
  deadline         timestamptz NOT NULL,
  campaign_id      integer,
  wave             integer,
  scheduled_by     text NOT NULL,
  scheduled_at     timestamptz NOT NULL DEFAULT now(),
  started_at       timestamptz,  -- of the newest session
  ended_at         timestamptz,
  -- Which session works on it, on which node, from where, and when it is over at the latest.
  session_claim    bytea CHECK (length(session_claim) = 16),
  session_node     text,
  session_address  text,
  session_until    timestamptz,
  -- Of the newest session that came so far; of a deletion: the newest that the device had been issued.
  issuance_id      bigint,
  -- What is still to be told to cad: that the device has its certificate; that its certificates are to be revoked; or
  -- those that sessions were issued and the device never acknowledged.
  unsettled        text CHECK (unsettled IN ('confirm', 'revoke', 'discard')),
  PRIMARY KEY (cluster_id, operation_id),
  FOREIGN KEY (cluster_id, campaign_id) REFERENCES capf_campaign,
  CHECK ((state = 'in progress') = (session_claim IS NOT NULL)),
  CHECK ((state IN ('pending', 'in progress')) = (ended_at IS NULL)),
  CHECK ((string_salt IS NULL) = (string_hmac IS NULL)),
  CHECK ((authentication = 'string') = (string_hmac IS NOT NULL))
);
CREATE UNIQUE INDEX capf_operation_one_open ON capf_operation (cluster_id, device)
  WHERE state IN ('pending', 'in progress');
CREATE INDEX capf_operation_device ON capf_operation (cluster_id, device COLLATE "C", operation_id);
CREATE INDEX capf_operation_deadline ON capf_operation (deadline) WHERE state = 'pending';
CREATE INDEX capf_operation_session ON capf_operation (session_until) WHERE state = 'in progress';
CREATE INDEX capf_operation_unsettled ON capf_operation (cluster_id, operation_id) WHERE unsettled IS NOT NULL;
CREATE INDEX capf_operation_state ON capf_operation (cluster_id, state, operation_id);
CREATE INDEX capf_operation_campaign ON capf_operation (cluster_id, campaign_id, wave, state);
-- Lists, the newest first, of what is rare among many.
CREATE INDEX capf_operation_of_campaign ON capf_operation (cluster_id, campaign_id, operation_id)
  WHERE campaign_id IS NOT NULL;
CREATE INDEX capf_operation_kind ON capf_operation (cluster_id, operation, operation_id) WHERE operation <> 'install';

-- Wrong authentication strings of a device from an address, forgotten 15 minutes after the last: five lock the pair.
CREATE TABLE capf_lockout (
  cluster_id    integer NOT NULL REFERENCES cluster,
  device        text NOT NULL,
  address       text NOT NULL,
  wrong_strings integer NOT NULL,
  last_wrong_at timestamptz NOT NULL,
  locked_until  timestamptz,
  PRIMARY KEY (cluster_id, device, address)
);
CREATE INDEX capf_lockout_last ON capf_lockout (last_wrong_at);

-- The newest certificate of each type that a device has sent when it was asked for it.
CREATE TABLE capf_fetched_certificate (
  cluster_id   integer NOT NULL REFERENCES cluster,
  device       text NOT NULL,
  type         text NOT NULL CHECK (type IN ('LSC', 'MIC')),
  der          bytea NOT NULL,
  sha256       bytea NOT NULL CHECK (length(sha256) = 32),
  operation_id bigint NOT NULL,
  fetched_at   timestamptz NOT NULL,
  PRIMARY KEY (cluster_id, device, type)
);

-- What holds without being scheduled. Absent: nothing does.
CREATE TABLE capf_policy (
  cluster_id         integer NOT NULL REFERENCES cluster PRIMARY KEY,
  -- A known device that has nothing scheduled and proves itself by its manufacturer's certificate is enrolled again.
  re_enrol_by_mic    boolean NOT NULL,
  -- A manufacturer's certificate may be past its end.
  allow_expired_mic  boolean NOT NULL,
  -- A proof must cover the session: one that could have been recorded is refused.
  require_sudi       boolean NOT NULL,
  key_order          text NOT NULL CHECK (key_order IN ('rsa', 'ec', 'ec-preferred')),
  rsa_bits           integer NOT NULL CHECK (rsa_bits IN (2048, 3072, 4096)),
  curve              text NOT NULL CHECK (curve IN ('secp256r1', 'secp384r1', 'secp521r1')),
  changed_by         text NOT NULL,
  changed_at         timestamptz NOT NULL DEFAULT now()
);

-- What no device has acknowledged, the newest first.
CREATE INDEX issuance_unacknowledged ON issuance (cluster_id, issuance_id)
  WHERE confirmed_at IS NULL AND state IN ('signed', 'delivered', 'revoked');

GRANT SELECT, INSERT, UPDATE ON capf_campaign, capf_operation, capf_lockout, capf_fetched_certificate, capf_policy
  TO trustline_capfd;
GRANT DELETE ON capf_lockout TO trustline_capfd;
