-- Phones that are unproven, and for which a plan does not wait: whom an administrator accepted by their exact
-- number when a gate waited for them. A number of before, of nobody in particular, accepts nobody any more.
CREATE TABLE trust_plan_accepted (
  cluster_id integer NOT NULL,
  plan_id    integer NOT NULL,
  device     text NOT NULL,
  reason     text NOT NULL,  -- why it was unproven then
  PRIMARY KEY (cluster_id, plan_id, device, reason),
  FOREIGN KEY (cluster_id, plan_id) REFERENCES trust_plan
);
ALTER TABLE trust_plan DROP accepted_unproven;

-- The certificate that each listener of capfd presents to phones. Single writer: capfd, which says it again and again.
CREATE TABLE capf_presented (
  cluster_id integer NOT NULL REFERENCES cluster,
  listener   text NOT NULL,   -- "[::]:3804"
  sha256     bytea NOT NULL CHECK (length(sha256) = 32),
  said_at    timestamptz NOT NULL,
  PRIMARY KEY (cluster_id, listener)
);

GRANT SELECT, INSERT ON trust_plan_accepted TO trustline_itld;
GRANT SELECT ON capf_presented TO trustline_itld;
GRANT SELECT, INSERT, UPDATE ON capf_presented TO trustline_capfd;
