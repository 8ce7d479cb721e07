// Who was asked about, in words.
#pragma once

#include <string>

#include "tvs/question_ring.h"
#include "tvs/trust_follower.h"

namespace trustline {

// Of the certificate, as it or the phone has it: valid UTF-8, each within kMaxQuestionName bytes. All empty: nobody
// knows, or what was asked about is no certificate.
struct QuestionNames {
  std::string subject;
  std::string issuer;
  std::string serial;  // bytes, without leading zero bytes
};
inline constexpr size_t kMaxQuestionName = 1'100;

// From what the question has, else from the trust store. Parses a certificate, which takes some 20 us.
QuestionNames FindQuestionNames(const AnsweredQuestion& question, const FollowedCluster& cluster);

}  // namespace trustline
