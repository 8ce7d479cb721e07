-- From when on the audit log can tell of certificates, for the audit of what was issued.
GRANT SELECT (retired_before) ON audit_checkpoint TO trustline_cad;
