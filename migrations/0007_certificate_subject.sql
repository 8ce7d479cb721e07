-- Issuers are looked up by their name.
CREATE INDEX certificate_subject ON certificate (subject_key);
