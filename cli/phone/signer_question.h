// A phone's question to its TVS nodes about who signed a file (docs/PROTOCOLS.md, the phone as a model).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/phone/endpoint.h"
#include "cli/phone/tvs_phone.h"
#include "common/phone_model/phone_model.h"
#include "common/x509/certificate.h"

namespace trustline {

// The signer as a file names it.
struct NamedSigner {
  std::string subject;
  std::string issuer;
  std::string serial;  // bytes
};

// What a TVS node said, or why it said nothing, in words.
struct TvsAttempt {
  Endpoint server;
  bool answered = false;
  std::string outcome;
};

// What the first node said that answered.
struct SignerAnswer {
  std::vector<TvsAttempt> attempts;   // in order; the last one answered, or none did
  std::optional<Sha256Digest> tvs;    // the certificate that it presented; absent: none answered
  std::optional<Certificate> signer;  // valid, whatever its roles
  TvsAnswers valid_for;

  // For the phone model; borrows from this. At most one.
  std::vector<ReachableTvs> Reachable() const;
};

// Asks the servers in order, each by a query on a connection of its own, until one answers. One whose certificate is no
// TVS record of `itl` is a connection that failed and is asked nothing; so is one whose answer a phone would not
// understand. Without a TVS record nobody is asked. `options`: how to ask; its known certificates are those of `itl`.
SignerAnswer AskForSigner(const std::vector<Endpoint>& servers, TvsPhoneOptions options,
                          const std::shared_ptr<const PhoneList>& itl, const NamedSigner& signer);

}  // namespace trustline
