-- Devices, the authorities that certify them, and every certificate that was ever begun. Single writer: cad.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'trustline_cad') THEN
    CREATE ROLE trustline_cad LOGIN;
  END IF;
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO trustline_cad', current_database());
END $$;
GRANT USAGE ON SCHEMA public TO trustline_cad;
GRANT SELECT ON schema_migration, cluster, access_grant TO trustline_cad;
GRANT SELECT (identity, removed_at) ON node TO trustline_cad;
GRANT EXECUTE ON FUNCTION audit_append TO trustline_cad;

CREATE TABLE device (
  cluster_id   integer NOT NULL REFERENCES cluster,
  name         text NOT NULL CHECK (name ~ '^((SEP|ATA|VGC|SPA)[0-9A-F]{12}|CSF[0-9A-Z]{1,12})$'),
  model        text NOT NULL DEFAULT '',
  protocol     text NOT NULL DEFAULT '',
  load         text NOT NULL DEFAULT '',
  site         text NOT NULL DEFAULT '',
  owner        text NOT NULL DEFAULT '',
  description  text NOT NULL DEFAULT '',
  state        text NOT NULL DEFAULT 'in service' CHECK (state IN ('in service', 'replaced', 'retired')),
  state_reason text NOT NULL DEFAULT '',
  replaced_by  text,
  added_by     text NOT NULL,
  added_at     timestamptz NOT NULL DEFAULT now(),
  changed_at   timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (cluster_id, name),
  CHECK ((state = 'replaced') = (replaced_by IS NOT NULL))
);
-- Lists go by name in the order of its bytes, whatever the database's locale is.
CREATE INDEX device_name ON device (cluster_id, name COLLATE "C");
CREATE INDEX device_model ON device (cluster_id, model, name COLLATE "C");
CREATE INDEX device_site ON device (cluster_id, site, name COLLATE "C");
CREATE INDEX device_state ON device (cluster_id, state, name COLLATE "C");

-- An authority's private key is a file of cad that is named by key_name; here is only what others may know.
CREATE TABLE ca_authority (
  cluster_id        integer NOT NULL REFERENCES cluster,
  authority_id      integer GENERATED ALWAYS AS IDENTITY,
  -- requested: waits for a certificate from an outside authority; prepared: in the trust store; active: issues;
  -- tainted: its devices are to be renewed; retired: nothing chains to it any more.
  state             text NOT NULL CHECK (state IN ('requested', 'prepared', 'active', 'tainted', 'retired')),
  key_name          text NOT NULL UNIQUE,  -- of the key file and of the CRL: 16 hexadecimal digits of the key's SHA-256
  public_key        text NOT NULL,         -- "RSA 2048"
  public_key_sha256 bytea NOT NULL UNIQUE CHECK (length(public_key_sha256) = 32),
  subject           text NOT NULL,
  certificate       bytea,                 -- DER; absent while requested
  chain             bytea[] NOT NULL DEFAULT '{}',  -- its issuers in DER, the root last; empty when self-signed
  not_before        timestamptz,
  not_after         timestamptz,
  crl_number        bigint NOT NULL DEFAULT 0,  -- of the last CRL that was signed
  created_by        text NOT NULL,
  created_at        timestamptz NOT NULL DEFAULT now(),
  prepared_at       timestamptz,
  activated_at      timestamptz,
  tainted_at        timestamptz,
  retired_at        timestamptz,
  PRIMARY KEY (cluster_id, authority_id),
  CHECK ((state = 'requested') = (certificate IS NULL))
);
CREATE UNIQUE INDEX ca_authority_one_active ON ca_authority (cluster_id) WHERE state = 'active';

-- Never partitioned: a serial number is unique for ever.
CREATE TABLE issuance (
  cluster_id        integer NOT NULL REFERENCES cluster,
  issuance_id       bigint GENERATED ALWAYS AS IDENTITY,
  authority_id      integer NOT NULL,
  device            text NOT NULL,          -- not a reference: what was issued outlives the device's row
  request_id        text NOT NULL,          -- the caller's; empty when it gave none
  state             text NOT NULL
                    CHECK (state IN ('intent', 'signed', 'delivered', 'confirmed', 'abandoned', 'revoked')),
  serial            bytea NOT NULL CHECK (length(serial) BETWEEN 8 AND 20),  -- big-endian, no leading zero bytes
  subject           text NOT NULL,
  public_key        text NOT NULL,
  public_key_sha256 bytea NOT NULL CHECK (length(public_key_sha256) = 32),
  public_key_info   bytea NOT NULL,         -- SubjectPublicKeyInfo in DER
  not_before        timestamptz NOT NULL,
  not_after         timestamptz NOT NULL,
  crl_url           text NOT NULL,
  to_be_signed      bytea NOT NULL,         -- committed before the key is touched; nothing else is ever signed for it
  certificate       bytea,                  -- DER
  sha256            bytea CHECK (length(sha256) = 32),
  requested_by      text NOT NULL,
  requested_at      timestamptz NOT NULL DEFAULT now(),
  signed_at         timestamptz,
  delivered_at      timestamptz,
  confirmed_at      timestamptz,
  abandoned_at      timestamptz,
  abandoned_because text NOT NULL DEFAULT '',
  revoked_at        timestamptz,
  revocation_reason smallint,               -- CRLReason (RFC 5280, section 5.3.1)
  revoked_by        text,
  first_crl_number  bigint,                 -- of the first CRL that names it
  PRIMARY KEY (cluster_id, issuance_id),
  FOREIGN KEY (cluster_id, authority_id) REFERENCES ca_authority,
  CHECK ((certificate IS NULL) = (state IN ('intent', 'abandoned'))),
  CHECK ((certificate IS NULL) = (sha256 IS NULL)),
  CHECK ((state = 'revoked') = (revoked_at IS NOT NULL)),
  CHECK ((state = 'abandoned') = (abandoned_at IS NOT NULL))
);
-- One serial number an authority, and by itself for look-ups.
CREATE UNIQUE INDEX issuance_authority_serial ON issuance (cluster_id, authority_id, serial);
CREATE INDEX issuance_serial ON issuance (cluster_id, serial);
CREATE UNIQUE INDEX issuance_one_open_intent ON issuance (cluster_id, device) WHERE state = 'intent';
-- A request has one certificate, however often it is asked.
CREATE UNIQUE INDEX issuance_request ON issuance (cluster_id, device, request_id)
  WHERE request_id <> '' AND state <> 'abandoned';
CREATE INDEX issuance_device ON issuance (cluster_id, device text_pattern_ops, issuance_id);
CREATE INDEX issuance_subject ON issuance (cluster_id, subject text_pattern_ops, issuance_id);
CREATE INDEX issuance_key ON issuance (cluster_id, public_key_sha256, issuance_id);
CREATE INDEX issuance_authority ON issuance (cluster_id, authority_id, issuance_id);
CREATE INDEX issuance_expiry ON issuance (cluster_id, not_after, issuance_id);
CREATE INDEX issuance_state ON issuance (cluster_id, state, issuance_id);
CREATE INDEX issuance_state_expiry ON issuance (cluster_id, state, not_after, issuance_id);
CREATE INDEX issuance_revoked ON issuance (cluster_id, authority_id, not_after) WHERE state = 'revoked';
CREATE INDEX issuance_not_in_crl ON issuance (cluster_id, authority_id)
  WHERE state = 'revoked' AND first_crl_number IS NULL;

-- The newest CRL of each authority. Read by tvsd, which serves it over HTTP.
CREATE TABLE ca_crl (
  cluster_id     integer NOT NULL,
  authority_id   integer NOT NULL,
  crl_number     bigint NOT NULL,
  der            bytea NOT NULL,
  sha256         bytea NOT NULL CHECK (length(sha256) = 32),
  this_update    timestamptz NOT NULL,
  next_update    timestamptz NOT NULL,
  revoked_count  bigint NOT NULL,
  made_at        timestamptz NOT NULL DEFAULT now(),
  trust_store_at timestamptz,  -- when the trust store had it
  PRIMARY KEY (cluster_id, authority_id),
  FOREIGN KEY (cluster_id, authority_id) REFERENCES ca_authority
);

-- Outside authorities whose certificates prove a phone: its manufacturer's, the root of small-business phones.
CREATE TABLE client_authority (
  cluster_id integer NOT NULL REFERENCES cluster,
  purpose    text NOT NULL CHECK (purpose IN ('manufacturing', 'small-business')),
  sha256     bytea NOT NULL CHECK (length(sha256) = 32),
  der        bytea NOT NULL,
  subject    text NOT NULL,
  not_after  timestamptz NOT NULL,
  added_by   text NOT NULL,
  added_at   timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (cluster_id, purpose, sha256)
);

-- Keys that somebody else is known to have. Of the whole system: a key that is public for one customer is for all.
CREATE TABLE blocked_key (
  public_key_sha256 bytea PRIMARY KEY CHECK (length(public_key_sha256) = 32),
  source            text NOT NULL,
  added_by          text NOT NULL,
  added_at          timestamptz NOT NULL DEFAULT now()
);

GRANT SELECT, INSERT, UPDATE ON device, ca_authority, issuance, ca_crl, client_authority, blocked_key TO trustline_cad;
GRANT SELECT ON audit_event TO trustline_cad;  -- for the audit of what was issued
GRANT DELETE ON device, ca_crl, client_authority TO trustline_cad;
GRANT SELECT ON ca_crl TO trustline_tvsd;
GRANT SELECT (cluster_id, authority_id, key_name) ON ca_authority TO trustline_tvsd;
