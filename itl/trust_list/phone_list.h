// A trust list as the phone model sees it.
#pragma once

#include <optional>

#include "common/bytes/sha256.h"
#include "common/phone_model/phone_model.h"
#include "common/x509/certificate.h"
#include "itl/trust_list/reader.h"

namespace trustline {

// `signer`: whose key has signed it, as whoever reads it knows; without one all zero, which no record is. A record by
// hash alone is that of a certificate which nobody presents.
PhoneList ToPhoneList(const TrustList& list, const std::optional<Sha256Digest>& signer);

// Counts the key of a certificate in the list.
void CountKey(const Certificate& certificate, PhoneList& list);

}  // namespace trustline
