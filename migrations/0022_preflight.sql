-- What the pre-flight judges by besides lists and reports, and what administrators decided against it. Single writer: itld.

-- From where which TVS node was asked: by site, or by device where a phone has no site. A question counts when it came
-- from the address that the phone is known to have.
CREATE TABLE tvs_reach (
  cluster_id integer NOT NULL REFERENCES cluster,
  site       text NOT NULL,
  device     text COLLATE "C" NOT NULL,  -- empty for a site
  node       text NOT NULL,
  last_at    timestamptz NOT NULL,
  PRIMARY KEY (cluster_id, site, device, node),
  CHECK ((site = '') <> (device = ''))
);

-- The certificates that a node's TVS presents to a cluster's phones, as it said last.
CREATE TABLE tvs_node_certificate (
  cluster_id integer NOT NULL REFERENCES cluster,
  node       text NOT NULL,
  sha256     bytea NOT NULL CHECK (length(sha256) = 32),
  said_at    timestamptz NOT NULL,
  PRIMARY KEY (cluster_id, node, sha256)
);

-- Models whose phones know no trust lists.
CREATE TABLE model_without_lists (
  cluster_id integer NOT NULL REFERENCES cluster,
  model      text NOT NULL,
  set_by     text NOT NULL,
  set_at     timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (cluster_id, model)
);

-- Changes that were made although phones were unproven, or would be locked out; with the phones.
CREATE TABLE preflight_waiver (
  cluster_id integer NOT NULL REFERENCES cluster,
  waiver_id  integer GENERATED ALWAYS AS IDENTITY,
  action     text NOT NULL,  -- as in the audit log
  subject    text NOT NULL,
  reason     text NOT NULL,  -- of an override; empty: unproven phones were accepted by their number
  made_by    text NOT NULL,
  made_at    timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (cluster_id, waiver_id)
);
CREATE TABLE preflight_waiver_phone (
  cluster_id integer NOT NULL,
  waiver_id  integer NOT NULL,
  device     text COLLATE "C" NOT NULL,
  verdict    text NOT NULL CHECK (verdict IN ('unproven', 'locked')),
  reason     text NOT NULL,
  PRIMARY KEY (cluster_id, waiver_id, device),
  FOREIGN KEY (cluster_id, waiver_id) REFERENCES preflight_waiver
);

GRANT SELECT, INSERT, UPDATE, DELETE ON tvs_reach, tvs_node_certificate, model_without_lists TO trustline_itld;
GRANT SELECT, INSERT ON preflight_waiver, preflight_waiver_phone TO trustline_itld;
