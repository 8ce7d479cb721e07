-- tvsd changes nothing in the database, but the certificates of its own listeners when an administrator asks it to: it
-- may say of these, besides denials, that they were done.
CREATE OR REPLACE FUNCTION audit_append(cluster_id integer, occurred_at timestamptz, actor text, action text,
                                        subject text, outcome text, detail text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  inserted_at timestamptz := clock_timestamp();
  new_id bigint;
BEGIN
  IF session_user = 'trustline_tvsd' AND $6 <> 'denied'
     AND $4 NOT IN ('listener.request', 'listener.import', 'listener.restore') THEN
    RAISE insufficient_privilege USING MESSAGE = 'tvsd records denials and changes of its own listeners only';
  END IF;
  INSERT INTO audit_event (cluster_id, at, occurred_at, actor, action, subject, outcome, detail)
    VALUES ($1, inserted_at, coalesce($2, inserted_at), $3, $4, $5, $6, $7)
    RETURNING event_id INTO new_id;
  INSERT INTO audit_unsealed (event_id, at) VALUES (new_id, inserted_at);
  RETURN new_id;
END $$;
