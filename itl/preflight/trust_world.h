// What a cluster offers its phones at a moment, in the terms of the phone model (common/phone_model/phone_model.h): the
// other half of every judgement. Values only.
#pragma once

#include <compare>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/bytes/sha256.h"
#include "common/phone_model/phone_model.h"

namespace trustline {

// Whose lists a phone is served.
struct ServedAs {
  std::string tftp_server;
  std::string device;  // empty: the lists of all phones

  auto operator<=>(const ServedAs&) const = default;  // NOLINT(modernize-use-nullptr): it reads the implied 0
};

struct ServedOffers {
  PhoneOffer published;
  std::optional<PhoneOffer> waiting;  // what they should say now, where that is not published yet
};

struct TrustWorld {
  std::map<ServedAs, ServedOffers> served;
  // Certificates that TVS says are valid, with their roles: trusted, not expired, not revoked.
  TvsAnswers vouched;
  // By node, the certificates that its TVS presents, of those that are trusted as TVS.
  std::map<std::string, std::set<Sha256Digest>> tvs_nodes;
  // Of these, who does not answer now: proven ways lead to the others.
  std::set<std::string> away_nodes;
  // Signers whose private keys are here, and can be used: what they sign can be published for phones that refuse what
  // is served.
  std::set<Sha256Digest> signing_keys;

  // What a phone gets: its own lists, or else those of all phones of its TFTP server, or else, the server being gone,
  // those of each server that is left.
  std::vector<const ServedOffers*> OffersFor(const ServedAs& served_as) const;
  // The same with whose they are.
  std::vector<const std::pair<const ServedAs, ServedOffers>*> ServedTo(const ServedAs& served_as) const;
};

// Whether nothing that a phone may rely on is gone after a change: the same signers, in a form that whoever read the
// lists before reads as well, no record less in any list, nothing vouched for or reached less. Then it harms no phone,
// whatever that holds.
bool TakesNothingAway(const TrustWorld& before, const TrustWorld& after);
// The same of the lists alone that a phone is served which reads so much: what is changed for others takes nothing from
// it.
bool TakesNothingAway(const TrustWorld& before, const TrustWorld& after, const ServedAs& served_as,
                      const PhoneReads& reads);

}  // namespace trustline
