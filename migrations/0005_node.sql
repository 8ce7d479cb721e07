-- The machines of the system. Single writer: itld.
CREATE TABLE node (
  name                text PRIMARY KEY CHECK (name ~ '^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$'),
  identity            text NOT NULL UNIQUE,  -- URI
  tvs_sha256          bytea REFERENCES certificate (sha256),
  identity_expires_at timestamptz NOT NULL,
  joined_at           timestamptz NOT NULL DEFAULT now(),
  removed_at          timestamptz
);

-- Single-use tokens with which a machine joins; only the SHA-256 of the secret is kept.
CREATE TABLE node_token (
  secret_sha256 bytea PRIMARY KEY CHECK (length(secret_sha256) = 32),
  node          text NOT NULL,
  created_by    text NOT NULL,
  created_at    timestamptz NOT NULL DEFAULT now(),
  expires_at    timestamptz NOT NULL,
  used_at       timestamptz
);

GRANT SELECT, INSERT, UPDATE ON node, node_token TO trustline_itld;
