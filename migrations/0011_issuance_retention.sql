-- Retention of issued certificates: what was removed of them, a row for each transaction. Rows are never changed.
-- Single writer: cad.
CREATE TABLE issuance_purge (
  cluster_id      integer NOT NULL REFERENCES cluster,
  purge_number    bigint GENERATED ALWAYS AS IDENTITY,
  expired_before  timestamptz NOT NULL,  -- as it was asked for
  certificates    bigint NOT NULL CHECK (certificates >= 0),
  requests        bigint NOT NULL CHECK (requests >= 0),  -- abandoned ones
  first_not_after timestamptz,           -- of the certificates that were removed; absent when none was
  last_not_after  timestamptz,
  sha256          bytea NOT NULL CHECK (length(sha256) = 32),  -- over their sorted SHA-256s
  purged_by       text NOT NULL,
  purged_at       timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (cluster_id, purge_number),
  CHECK (certificates + requests > 0),
  CHECK ((certificates = 0) = (first_not_after IS NULL)),
  CHECK ((certificates = 0) = (last_not_after IS NULL)),
  CHECK (last_not_after < expired_before),
  CHECK (expired_before <= purged_at - interval '720 hours')
);

GRANT SELECT, INSERT ON issuance_purge TO trustline_cad;
GRANT DELETE ON issuance TO trustline_cad;
