-- An authority whose certificate never came can be discarded. One that issued anything, or has a CRL, is referred to.
GRANT DELETE ON ca_authority TO trustline_cad;

-- The good certificates of an authority, those that end first in front: what stands in the way of retiring it.
CREATE INDEX issuance_good ON issuance (cluster_id, authority_id, not_after, issuance_id)
  WHERE state IN ('signed', 'delivered', 'confirmed');
