-- Vouched and listed are two things: a listed entry also stands as a record in its cluster's trust lists, by which phones
-- know servers without asking. A removed entry is in no list, whatever it was before.
ALTER TABLE trust_entry
  ADD listed boolean NOT NULL DEFAULT false,
  ADD CHECK (NOT listed OR role >= 0);

-- A machine that has joined answers phones that ask it, but stands in the trust lists only once an administrator has
-- approved it. Its tvsd says where it answers gRPC: "HOST:PORT", empty until then.
ALTER TABLE node
  ADD approved_at timestamptz,
  ADD approved_by text,
  ADD grpc_address text NOT NULL DEFAULT '',
  ADD CHECK ((approved_at IS NULL) = (approved_by IS NULL));

-- What serves phones today stays known to them when the first lists are made.
UPDATE trust_entry SET listed = true WHERE removed_at IS NULL AND role = 4;
UPDATE trust_entry e SET listed = true FROM node n
  WHERE e.removed_at IS NULL AND e.origin = 'node' AND e.role = 21 AND e.sha256 = n.tvs_sha256 AND n.removed_at IS NULL;
UPDATE node SET approved_at = now(), approved_by = 'migration' WHERE removed_at IS NULL;
