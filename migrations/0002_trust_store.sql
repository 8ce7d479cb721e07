-- The trust store. Single writer: itld. Readers: tvsd.

-- A certificate once, by the SHA-256 of its DER. Facts of the bytes only, so that a reader need not parse them.
CREATE TABLE certificate (
  sha256           bytea PRIMARY KEY CHECK (length(sha256) = 32),
  der              bytea NOT NULL,
  subject          text NOT NULL,
  issuer           text NOT NULL,
  subject_key      bytea NOT NULL CHECK (length(subject_key) = 32),  -- SHA-256 of the canonical name
  issuer_key       bytea NOT NULL CHECK (length(issuer_key) = 32),
  serial           bytea NOT NULL,                                   -- big-endian, no leading zero bytes
  authority_key_id bytea,
  not_before       timestamptz NOT NULL,
  not_after        timestamptz NOT NULL,
  is_ca            boolean NOT NULL,
  public_key       text NOT NULL,
  added_at         timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX certificate_issuer_serial ON certificate (issuer_key, serial);

-- What a cluster trusts a certificate for. Removed entries stay, so that a verdict can say "removed".
CREATE TABLE trust_entry (
  cluster_id    integer NOT NULL REFERENCES cluster,
  sha256        bytea NOT NULL REFERENCES certificate,
  role          smallint NOT NULL CHECK (role IN (-1, 0, 1, 2, 3, 4, 7, 21)),  -- wire code; -1: an anchor without a role
  ttl_seconds   integer NOT NULL CHECK (ttl_seconds BETWEEN 1 AND 2592000),
  anchor        boolean NOT NULL,
  origin        text NOT NULL CHECK (origin IN ('import', 'system', 'node')),
  added_by      text NOT NULL,
  added_at      timestamptz NOT NULL DEFAULT now(),
  removed_by    text,
  removed_at    timestamptz,
  commit_number bigint NOT NULL,
  PRIMARY KEY (cluster_id, sha256, role),
  CHECK (role <> -1 OR anchor)
);
CREATE INDEX trust_entry_commit ON trust_entry (cluster_id, commit_number);

-- The current CRL of each issuer (name and key) that was imported. A removed one stays with its row emptied.
CREATE TABLE trust_crl (
  cluster_id       integer NOT NULL REFERENCES cluster,
  issuer_key       bytea NOT NULL CHECK (length(issuer_key) = 32),
  authority_key_id bytea NOT NULL,  -- the signer's subject key identifier; empty when it has none
  sha256           bytea NOT NULL CHECK (length(sha256) = 32),
  der              bytea NOT NULL,
  issuer           text NOT NULL,
  crl_number       text NOT NULL,   -- decimal; empty when the CRL has none
  this_update      timestamptz NOT NULL,
  next_update      timestamptz,
  revoked_count    bigint NOT NULL,
  added_by         text NOT NULL,
  added_at         timestamptz NOT NULL DEFAULT now(),
  removed_at       timestamptz,
  commit_number    bigint NOT NULL,
  PRIMARY KEY (cluster_id, issuer_key, authority_key_id)
);
CREATE INDEX trust_crl_commit ON trust_crl (cluster_id, commit_number);

-- A hint to look; readers poll too. The payload is "<cluster_id> <commit>".
CREATE FUNCTION notify_trust_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('trust_change', NEW.cluster_id || ' ' || NEW.trust_commit);
  RETURN NULL;
END $$;
CREATE TRIGGER cluster_trust_change AFTER UPDATE OF trust_commit ON cluster
  FOR EACH ROW WHEN (NEW.trust_commit <> OLD.trust_commit) EXECUTE FUNCTION notify_trust_change();

GRANT SELECT ON certificate, trust_entry, trust_crl TO trustline_tvsd, trustline_itld;
GRANT INSERT ON certificate TO trustline_itld;
GRANT INSERT, UPDATE ON trust_entry, trust_crl TO trustline_itld;
