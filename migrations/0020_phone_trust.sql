-- Which phone holds which list: what phones reported, the ledger of what they were seen to hold, and who may report.
-- Single writer: itld; the rows of `phone` follow cad's devices by triggers.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'trustline_provisiond') THEN
    CREATE ROLE trustline_provisiond LOGIN;
  END IF;
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO trustline_provisiond', current_database());
END $$;
GRANT USAGE ON SCHEMA public TO trustline_provisiond;
GRANT SELECT ON schema_migration, cluster, access_grant TO trustline_provisiond;
GRANT SELECT (identity, removed_at) ON node TO trustline_provisiond;
GRANT EXECUTE ON FUNCTION audit_append TO trustline_provisiond;

-- Monthly partitions of what grows with time, from this month to two months ahead. Rows of a month without one are in
-- the partition PARENT_default; a partition over rows that are there already is left out.
CREATE FUNCTION month_partitions_create(parent text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
SET lock_timeout = '200ms' AS $$
DECLARE
  first_day date;
  lower timestamptz;
  upper timestamptz;
  partition_name text;
  is_taken boolean;
  created integer := 0;
BEGIN
  IF parent NOT IN ('phone_history', 'tvs_question') THEN
    RAISE EXCEPTION 'the table % has no monthly partitions of this kind', parent;
  END IF;
  FOR ahead IN 0..2 LOOP
    first_day := (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => ahead))::date;
    lower := first_day::timestamp AT TIME ZONE 'UTC';
    upper := (first_day + interval '1 month') AT TIME ZONE 'UTC';
    partition_name := parent || '_' || to_char(first_day, 'YYYY_MM');
    IF to_regclass(partition_name) IS NULL THEN
      EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE at >= $1 AND at < $2)', parent || '_default')
        INTO is_taken USING lower, upper;
      IF NOT is_taken THEN
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', partition_name, parent, lower,
                       upper);
        created := created + 1;
      END IF;
    END IF;
  END LOOP;
  RETURN created;
END $$;
REVOKE ALL ON FUNCTION month_partitions_create FROM PUBLIC;
GRANT EXECUTE ON FUNCTION month_partitions_create TO trustline_itld;

-- Drops the partitions whose rows are all older than `cut`; returns how many.
CREATE FUNCTION month_partitions_drop(parent text, cut timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
SET lock_timeout = '200ms' SET TimeZone = 'UTC' SET DateStyle = 'ISO, YMD' AS $$
DECLARE
  partition_name regclass;
  dropped integer := 0;
BEGIN
  IF parent NOT IN ('phone_history', 'tvs_question') THEN
    RAISE EXCEPTION 'the table % has no monthly partitions of this kind', parent;
  END IF;
  FOR partition_name IN
      SELECT c.oid::regclass FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
      WHERE i.inhparent = parent::regclass
      AND substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''([^'']+)''\)')::timestamptz <= cut LOOP
    EXECUTE format('DROP TABLE %s', partition_name);
    dropped := dropped + 1;
  END LOOP;
  EXECUTE format('DELETE FROM %I WHERE at < $1', parent || '_default') USING cut;
  RETURN dropped;
END $$;
REVOKE ALL ON FUNCTION month_partitions_drop FROM PUBLIC;
GRANT EXECUTE ON FUNCTION month_partitions_drop TO trustline_itld;

-- Who passes phones' reports on: an address or a network, or the common name of a TLS client certificate that the trust
-- store knows. `requests` are the SIP methods that it may send.
CREATE TABLE forwarder (
  cluster_id integer NOT NULL REFERENCES cluster,
  name       text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  is_network boolean NOT NULL,  -- else a common name
  requests   text[] NOT NULL CHECK (array_length(requests, 1) > 0
                                    AND requests <@ ARRAY['REFER', 'REGISTER', 'OPTIONS']),
  -- Whether what comes over UDP from there counts: whoever can forge the address could speak in its name.
  udp        boolean NOT NULL DEFAULT false,
  added_by   text NOT NULL,
  added_at   timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (cluster_id, name),
  CHECK (is_network OR NOT udp)
);
-- The system drops packets that come from outside with a loopback address.
INSERT INTO forwarder (cluster_id, name, is_network, requests, udp, added_by)
  SELECT cluster_id, network, true, ARRAY['REFER', 'REGISTER', 'OPTIONS'], true, 'migration'
  FROM cluster, unnest(ARRAY['127.0.0.0/8', '::1']) AS network WHERE cluster.name = 'default';

CREATE TABLE phone_trust_policy (
  cluster_id    integer PRIMARY KEY REFERENCES cluster,
  -- Whether alarms of anybody are kept as claims; else they are forbidden.
  accept_claims boolean NOT NULL,
  changed_by    text NOT NULL,
  changed_at    timestamptz NOT NULL DEFAULT now()
);

-- Names and addresses of our TFTP servers besides name and host in tftp_server, in lower case.
CREATE TABLE tftp_server_name (
  cluster_id  integer NOT NULL REFERENCES cluster,
  name        text NOT NULL CHECK (name = lower(name) AND length(name) BETWEEN 1 AND 255),
  tftp_server text NOT NULL,
  added_by    text NOT NULL,
  added_at    timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (cluster_id, name),
  FOREIGN KEY (cluster_id, tftp_server) REFERENCES tftp_server (cluster_id, name)
);

-- Hash and host name of each TFTP server's list, compared on every publication.
CREATE TABLE tftp_server_hash (
  cluster_id  integer NOT NULL REFERENCES cluster,
  tftp_server text NOT NULL,
  kind        text NOT NULL CHECK (kind IN ('ITL', 'CTL')),
  host        text NOT NULL,
  sha1        bytea NOT NULL CHECK (length(sha1) = 20),
  changed_at  timestamptz NOT NULL,
  compared_at timestamptz NOT NULL,
  PRIMARY KEY (cluster_id, tftp_server, kind)
);

-- TFTP servers as phones name them, in lower case.
CREATE TABLE reported_server (
  cluster_id integer NOT NULL REFERENCES cluster,
  server_id  integer GENERATED ALWAYS AS IDENTITY,
  name       text NOT NULL CHECK (length(name) <= 255),
  first_at   timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (cluster_id, server_id),
  UNIQUE (cluster_id, name)
);

-- Lists that another system made: a foreign cluster's, or what this cluster's phones had before. Read only.
CREATE TABLE adopted_list (
  cluster_id  integer NOT NULL REFERENCES cluster,
  adopted_id  integer GENERATED ALWAYS AS IDENTITY,
  origin      text NOT NULL CHECK (length(origin) BETWEEN 1 AND 63),  -- the adopted cluster's name
  own         boolean NOT NULL,      -- this cluster's history
  kind        text NOT NULL CHECK (kind IN ('ITL', 'CTL')),
  tftp_server text NOT NULL CHECK (tftp_server = lower(tftp_server)),  -- that served it
  file        bytea NOT NULL,
  sha1        bytea NOT NULL CHECK (length(sha1) = 20),
  sha256      bytea NOT NULL CHECK (length(sha256) = 32),
  is_current  boolean NOT NULL,      -- the last one seen of that server
  adopted_by  text NOT NULL,
  adopted_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (cluster_id, adopted_id),
  UNIQUE (cluster_id, origin, kind, tftp_server, sha1)
);
CREATE INDEX adopted_list_sha1 ON adopted_list (cluster_id, sha1);
CREATE UNIQUE INDEX adopted_list_current ON adopted_list (cluster_id, origin, kind, tftp_server) WHERE is_current;

-- What phones hold, each different thing once: a generation of ours, a list of an adopted cluster, any other list of a
-- server, none. What a status is follows from it and from what is published now, so that a publication touches no phone.
CREATE TABLE phone_holding (
  cluster_id integer NOT NULL REFERENCES cluster,
  holding_id integer GENERATED ALWAYS AS IDENTITY,
  kind       text NOT NULL CHECK (kind IN ('ITL', 'CTL')),
  state      text NOT NULL CHECK (state IN ('hash', 'not installed', 'unreadable')),
  server_id  integer NOT NULL,             -- 0: none was named
  list_id    integer NOT NULL DEFAULT 0,   -- 0: no list of ours
  generation bigint NOT NULL DEFAULT 0,
  adopted_id integer NOT NULL DEFAULT 0,   -- 0: no adopted list
  own_list   boolean NOT NULL DEFAULT false,  -- of phones that are to have a list of their own
  PRIMARY KEY (cluster_id, holding_id),
  UNIQUE (cluster_id, kind, state, server_id, list_id, generation, adopted_id, own_list)
);

-- A row for each device in service. holding_id to via are the live row: what it reported last, gone when it
-- unregisters. held_* is the head of its ledger, which stays until the device goes.
CREATE TABLE phone (
  cluster_id        integer NOT NULL,
  device            text COLLATE "C" NOT NULL,
  model             text NOT NULL,
  site              text NOT NULL,
  holding_id        integer NOT NULL DEFAULT 0,  -- 0: no report
  ctl_holding_id    integer NOT NULL DEFAULT 0,
  itl_sha1          bytea,
  ctl_sha1          bytea,
  reported_at       timestamptz,
  address           text NOT NULL DEFAULT '',
  user_agent        text NOT NULL DEFAULT '',
  via               text NOT NULL DEFAULT '',    -- whose word it is: "forwarder 192.0.2.1"
  registered        boolean,                     -- null: nobody said
  registration_at   timestamptz,                 -- of the newest registration or unregistration
  held_id           integer NOT NULL DEFAULT 0,
  held_sha1         bytea,
  held_at           timestamptz,
  held_ctl_id       integer NOT NULL DEFAULT 0,
  held_ctl_sha1     bytea,
  held_ctl_at       timestamptz,
  PRIMARY KEY (cluster_id, device)
) WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX phone_holding_device ON phone (cluster_id, holding_id, device);
CREATE INDEX phone_holding_reported ON phone (cluster_id, holding_id, reported_at);
CREATE INDEX phone_model_device ON phone (cluster_id, model, holding_id, device);
CREATE INDEX phone_site_device ON phone (cluster_id, site, holding_id, device);

-- The ledger: everything that a phone was seen to hold.
CREATE TABLE phone_held (
  cluster_id integer NOT NULL,
  device     text COLLATE "C" NOT NULL,
  holding_id integer NOT NULL,
  sha1       bytea NOT NULL,     -- empty when nothing is installed
  how        text NOT NULL CHECK (how IN ('reported', 'downloaded', 'adopted')),
  first_at   timestamptz NOT NULL,
  last_at    timestamptz NOT NULL,
  PRIMARY KEY (cluster_id, device, holding_id, sha1, how)
);

-- What changed for a phone, and when.
CREATE TABLE phone_history (
  cluster_id integer NOT NULL,
  device     text COLLATE "C" NOT NULL,
  at         timestamptz NOT NULL,
  event_id   bigint GENERATED ALWAYS AS IDENTITY,
  event      text NOT NULL CHECK (event IN ('reported', 'registered', 'unregistered', 'adopted', 'retired')),
  holding_id integer NOT NULL DEFAULT 0,
  ctl_holding_id integer NOT NULL DEFAULT 0,
  itl_sha1   bytea,
  address    text NOT NULL DEFAULT '',
  via        text NOT NULL DEFAULT '',
  PRIMARY KEY (cluster_id, device, at, event_id)
) PARTITION BY RANGE (at);
CREATE TABLE phone_history_default PARTITION OF phone_history DEFAULT;
SELECT month_partitions_create('phone_history');

-- What somebody said whose word is no evidence. Bounded in number; opens no gate and blocks nothing.
CREATE TABLE phone_claim (
  cluster_id integer NOT NULL REFERENCES cluster,
  device     text COLLATE "C" NOT NULL,
  source     text NOT NULL,      -- the address that it came from
  itl        text NOT NULL,      -- 40 hexadecimal digits, 'Not Installed', or '' for what could not be read
  server     text NOT NULL,
  user_agent text NOT NULL,
  address    text NOT NULL,      -- the phone's own, as it says
  reason     text NOT NULL,      -- why it is no evidence
  first_at   timestamptz NOT NULL,
  last_at    timestamptz NOT NULL,
  reports    bigint NOT NULL DEFAULT 1,
  PRIMARY KEY (cluster_id, device, source)
);
CREATE INDEX phone_claim_source ON phone_claim (cluster_id, source, last_at);
CREATE INDEX phone_claim_last ON phone_claim (cluster_id, last_at);

-- How many phones hold what: of all ('', ''), of a model, of a site. Changes are added as rows of their own, so that no
-- two transactions wait for each other, and are folded into the totals by itld.
CREATE TABLE phone_count (
  cluster_id integer NOT NULL,
  dimension  text NOT NULL CHECK (dimension IN ('', 'model', 'site')),
  value      text NOT NULL,
  holding_id integer NOT NULL,
  phones     bigint NOT NULL,
  PRIMARY KEY (cluster_id, dimension, value, holding_id)
);
CREATE TABLE phone_count_change (
  cluster_id integer NOT NULL,
  dimension  text NOT NULL,
  value      text NOT NULL,
  holding_id integer NOT NULL,
  phones     bigint NOT NULL
);

-- The share of phones on each holding over time: a row for each holding whose number changed, at most one each interval.
CREATE TABLE phone_adoption (
  cluster_id integer NOT NULL,
  at         timestamptz NOT NULL,
  holding_id integer NOT NULL,
  phones     bigint NOT NULL,
  PRIMARY KEY (cluster_id, holding_id, at)
);
CREATE INDEX phone_adoption_at ON phone_adoption (cluster_id, at);

CREATE FUNCTION phone_count_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO phone_count_change SELECT cluster_id, d.dimension, d.value, holding_id, count(*)
      FROM new_rows, LATERAL (VALUES ('', ''), ('model', model), ('site', site)) AS d (dimension, value)
      GROUP BY 1, 2, 3, 4;
  ELSIF TG_OP = 'DELETE' THEN
    INSERT INTO phone_count_change SELECT cluster_id, d.dimension, d.value, holding_id, -count(*)
      FROM old_rows, LATERAL (VALUES ('', ''), ('model', model), ('site', site)) AS d (dimension, value)
      GROUP BY 1, 2, 3, 4;
  ELSE
    -- Most reports say what is known already: those rows are left out before they are spread over the dimensions.
    INSERT INTO phone_count_change
      SELECT c.cluster_id, d.dimension, d.value, c.holding_id, sum(c.n)
      FROM (SELECT o.cluster_id, o.model, o.site, o.holding_id, -1 AS n FROM old_rows o JOIN new_rows n
              USING (cluster_id, device) WHERE (o.holding_id, o.model, o.site) <> (n.holding_id, n.model, n.site)
            UNION ALL
            SELECT n.cluster_id, n.model, n.site, n.holding_id, 1 FROM old_rows o JOIN new_rows n
              USING (cluster_id, device) WHERE (o.holding_id, o.model, o.site) <> (n.holding_id, n.model, n.site)) AS c,
        LATERAL (VALUES ('', ''), ('model', c.model), ('site', c.site)) AS d (dimension, value)
      GROUP BY 1, 2, 3, 4 HAVING sum(c.n) <> 0;
  END IF;
  RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION phone_count_changed FROM PUBLIC;
CREATE TRIGGER phone_inserted AFTER INSERT ON phone REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION phone_count_changed();
CREATE TRIGGER phone_updated AFTER UPDATE ON phone REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION phone_count_changed();
CREATE TRIGGER phone_deleted AFTER DELETE ON phone REFERENCING OLD TABLE AS old_rows
  FOR EACH STATEMENT EXECUTE FUNCTION phone_count_changed();

-- Phones follow devices. What leaves service leaves the record of phones too; its history stays.
CREATE FUNCTION phone_follow_device() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF TG_OP <> 'INSERT' THEN
    WITH gone AS (
      DELETE FROM phone p USING old_rows o WHERE p.cluster_id = o.cluster_id AND p.device = o.name
        AND (TG_OP = 'DELETE' OR EXISTS (SELECT FROM device d WHERE d.cluster_id = o.cluster_id AND d.name = o.name
                                         AND d.state <> 'in service'))
      RETURNING p.cluster_id, p.device, p.holding_id, p.ctl_holding_id, p.itl_sha1, p.address),
    forgotten AS (DELETE FROM phone_held h USING gone g WHERE h.cluster_id = g.cluster_id AND h.device = g.device)
    INSERT INTO phone_history (cluster_id, device, at, event, holding_id, ctl_holding_id, itl_sha1, address)
      SELECT cluster_id, device, now(), 'retired', holding_id, ctl_holding_id, itl_sha1, address FROM gone;
  END IF;
  IF TG_OP = 'UPDATE' THEN
    UPDATE phone p SET model = n.model, site = n.site FROM new_rows n
      WHERE p.cluster_id = n.cluster_id AND p.device = n.name AND (p.model, p.site) <> (n.model, n.site);
  END IF;
  IF TG_OP <> 'DELETE' THEN
    INSERT INTO phone (cluster_id, device, model, site)
      SELECT cluster_id, name, model, site FROM new_rows WHERE state = 'in service'
      ON CONFLICT DO NOTHING;
  END IF;
  RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION phone_follow_device FROM PUBLIC;
CREATE TRIGGER phone_of_added_device AFTER INSERT ON device REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION phone_follow_device();
CREATE TRIGGER phone_of_changed_device AFTER UPDATE ON device REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION phone_follow_device();
CREATE TRIGGER phone_of_removed_device AFTER DELETE ON device REFERENCING OLD TABLE AS old_rows
  FOR EACH STATEMENT EXECUTE FUNCTION phone_follow_device();
INSERT INTO phone (cluster_id, device, model, site)
  SELECT cluster_id, name, model, site FROM device WHERE state = 'in service';

GRANT SELECT, INSERT, UPDATE, DELETE ON forwarder, phone_trust_policy, tftp_server_name, tftp_server_hash, phone_claim,
  phone_count, phone_adoption, phone_held, adopted_list TO trustline_itld;
GRANT SELECT, INSERT ON reported_server, phone_holding, phone_history TO trustline_itld;
GRANT SELECT, UPDATE ON phone TO trustline_itld;
GRANT SELECT, DELETE ON phone_count_change TO trustline_itld;
GRANT SELECT ON forwarder, phone_trust_policy TO trustline_provisiond;

-- Of others' tables: what is known of one phone, in one answer.
GRANT SELECT (cluster_id, name, model, protocol, load, site, owner, description, state, state_reason, added_at)
  ON device TO trustline_itld;
GRANT SELECT (cluster_id, issuance_id, device, state, serial, not_before, not_after, confirmed_at, revoked_at)
  ON issuance TO trustline_itld;
GRANT SELECT (cluster_id, operation_id, device, operation, state, reason, deadline, scheduled_at, ended_at)
  ON capf_operation TO trustline_itld;
