-- A removed machine's identity is refused from then on, although its certificate has not ended: every service reads who
-- was removed, together with the access grants.
GRANT SELECT (identity, removed_at) ON node TO trustline_tvsd;
CREATE TRIGGER node_access_change AFTER INSERT OR UPDATE OF removed_at ON node
  FOR EACH STATEMENT EXECUTE FUNCTION notify_access_change();
