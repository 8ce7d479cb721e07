-- What was scheduled for a device ends with it: nobody waits for a phone that is told nothing any more, and a string is
-- worth nothing for another device of the same name.
CREATE FUNCTION capf_cancel_of_device() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  UPDATE capf_operation SET state = 'cancelled', ended_at = now(), session_claim = NULL, session_until = NULL,
    reason = 'the device was ' || CASE TG_OP WHEN 'DELETE' THEN 'removed' ELSE NEW.state END,
    unsettled = CASE WHEN issuance_id IS NOT NULL OR (operation = 'install' AND started_at IS NOT NULL) THEN 'discard' END
    WHERE cluster_id = OLD.cluster_id AND device = OLD.name AND state IN ('pending', 'in progress');
  RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION capf_cancel_of_device FROM PUBLIC;
CREATE TRIGGER device_out_of_service AFTER UPDATE OF state ON device
  FOR EACH ROW WHEN (NEW.state <> 'in service') EXECUTE FUNCTION capf_cancel_of_device();
CREATE TRIGGER device_removed AFTER DELETE ON device
  FOR EACH ROW EXECUTE FUNCTION capf_cancel_of_device();
