-- Retention of the audit log: whole months are removed, and a signed checkpoint takes the place of their part of the
-- chain. Single writer: itld.
CREATE TABLE audit_checkpoint (
  number         bigint PRIMARY KEY,  -- the last one that was removed
  hash           bytea NOT NULL CHECK (length(hash) = 32),
  first_number   bigint NOT NULL,
  retired_before timestamptz NOT NULL,
  at             timestamptz NOT NULL,
  removed_rows   bigint NOT NULL,
  made_by        text NOT NULL,   -- identity URI
  signature      bytea NOT NULL,  -- by the identity authority, over all of the above
  signer         bytea NOT NULL   -- the identity authority's certificate
);
GRANT SELECT, INSERT ON audit_checkpoint TO trustline_itld;

-- Removes every audit row that was inserted before `cut`, and its part of the chain; returns how many rows. The
-- checkpoint for them must stand already. It refuses any other cut than the beginning of a month (UTC), the current
-- and the previous month, rows outside of the chain, and months whose rows are chained among later ones.
CREATE FUNCTION audit_retire(cut timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '5s'
SET TimeZone = 'UTC' SET DateStyle = 'ISO, YMD' AS $$
DECLARE
  last_number bigint;
  partition_name regclass;
  removed bigint;
BEGIN
  IF cut IS NULL OR cut <> date_trunc('month', cut) OR cut > date_trunc('month', now()) - interval '1 month' THEN
    RAISE EXCEPTION 'audit rows are retired in whole months, and not those of the current and the previous month';
  END IF;
  LOCK TABLE audit_event IN ACCESS EXCLUSIVE MODE;
  IF EXISTS (SELECT FROM audit_unsealed u WHERE u.at < cut) OR EXISTS (
      SELECT FROM audit_event e WHERE e.at < cut
      AND NOT EXISTS (SELECT FROM audit_seal s WHERE s.event_id = e.event_id AND s.at = e.at)) THEN
    RAISE EXCEPTION 'audit rows before % are not chained', cut;
  END IF;
  SELECT max(s.number) INTO last_number FROM audit_seal s WHERE s.at < cut;
  IF EXISTS (SELECT FROM audit_seal s WHERE s.number < last_number AND s.at >= cut) THEN
    RAISE EXCEPTION 'audit rows before % are chained among later ones', cut;
  END IF;
  IF NOT EXISTS (SELECT FROM audit_checkpoint c JOIN audit_seal s ON s.number = c.number AND s.hash = c.hash
                 WHERE c.number = last_number AND c.retired_before = cut) THEN
    RAISE EXCEPTION 'there is no checkpoint for the audit rows before %', cut;
  END IF;

  SELECT count(*) INTO removed FROM audit_event e WHERE e.at < cut;
  FOR partition_name IN
      SELECT c.oid::regclass FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
      WHERE i.inhparent = 'audit_event'::regclass
      AND substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''([^'']+)''\)')::timestamptz <= cut LOOP
    EXECUTE format('DROP TABLE %s', partition_name);
  END LOOP;
  DELETE FROM audit_event e WHERE e.at < cut;
  DELETE FROM audit_seal s WHERE s.number <= last_number;
  RETURN removed;
END $$;
REVOKE ALL ON FUNCTION audit_retire FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_retire TO trustline_itld;
