// The words for trust lists: those that commands take and data have.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "cli/trustctl/enumeration_words.h"
#include "common/signed_file/signed_file.h"
#include "proto/trust_list.pb.h"

namespace trustline {

inline constexpr std::array<Word<v1::TrustListKind>, 2> kTrustListKinds = {{
    {"ITL", v1::TRUST_LIST_KIND_ITL},
    {"CTL", v1::TRUST_LIST_KIND_CTL},
}};

inline constexpr std::array<Word<v1::ListDigest>, 2> kListDigests = {{
    {"sha1", v1::LIST_DIGEST_SHA1},
    {"sha512", v1::LIST_DIGEST_SHA512},
}};

inline constexpr std::array<Word<v1::SignerVersion>, 2> kSignerVersions = {{
    {"1.0", v1::SIGNER_VERSION_1_0},
    {"1.1", v1::SIGNER_VERSION_1_1},
}};

inline constexpr std::array<Word<v1::CertificateRole>, 2> kTftpRoles = {{
    {"CCM+TFTP", v1::CERTIFICATE_ROLE_CCM_TFTP},
    {"TFTP", v1::CERTIFICATE_ROLE_TFTP},
}};

inline constexpr std::array<Word<v1::CandidateState>, 3> kCandidateStates = {{
    {"waits-for-approval", v1::CANDIDATE_STATE_WAITS_FOR_APPROVAL},
    {"waits-for-nodes", v1::CANDIDATE_STATE_WAITS_FOR_NODES},
    {"refused", v1::CANDIDATE_STATE_REFUSED},
}};

inline constexpr std::array<Word<v1::PublishResponse::Outcome>, 4> kOutcomes = {{
    {"unchanged", v1::PublishResponse::OUTCOME_UNCHANGED},
    {"published", v1::PublishResponse::OUTCOME_PUBLISHED},
    {"waits", v1::PublishResponse::OUTCOME_WAITS},
    {"refused", v1::PublishResponse::OUTCOME_REFUSED},
}};

enum class NameSeparator : uint8_t { kNotGiven, kComma, kVendor };
inline constexpr std::array<Word<NameSeparator>, 2> kNameSeparators = {{
    {"comma", NameSeparator::kComma},
    {"vendor", NameSeparator::kVendor},
}};

// Of a file. "SHA-1", "SHA-512".
inline std::string DigestText(DigestAlgorithm digest) {
  return digest == DigestAlgorithm::kSha1 ? "SHA-1" : digest == DigestAlgorithm::kSha512 ? "SHA-512" : "unknown";
}
inline std::string VersionText(FileVersion version) { return fmt::format("{}.{}", version.major, version.minor); }
inline std::string NameFormText(NameForm form) { return form == NameForm::kVendor ? "vendor" : "comma"; }

}  // namespace trustline
