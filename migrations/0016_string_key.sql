-- Under which key the authentication strings of this database are kept: every capfd must have the same.
CREATE TABLE capf_string_key (
  only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  -- HMAC-SHA-256 of a fixed text under the key: tells keys apart, and says nothing of them.
  check_value bytea NOT NULL CHECK (length(check_value) = 32),
  set_by      text NOT NULL,  -- the capfd that brought the key
  set_at      timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT, UPDATE ON capf_string_key TO trustline_capfd;
