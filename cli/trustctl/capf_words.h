// The words for phones' enrolment: those that commands take and data have, and those that administrators know.
#pragma once

#include <CLI/CLI.hpp>
#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "cli/trustctl/enumeration_words.h"
#include "cli/trustctl/output.h"
#include "proto/enrolment.pb.h"

namespace trustline {

inline constexpr std::array<Word<v1::CertificateOperation>, 4> kCertificateOperations = {{
    {"install", v1::CERTIFICATE_OPERATION_INSTALL},
    {"fetch", v1::CERTIFICATE_OPERATION_FETCH},
    {"delete", v1::CERTIFICATE_OPERATION_DELETE},
    {"none", v1::CERTIFICATE_OPERATION_NONE},
}};
// Those that a device does: "none" is an order only.
inline constexpr std::array<Word<v1::CertificateOperation>, 3> kDeviceOperations = {
    kCertificateOperations[0], kCertificateOperations[1], kCertificateOperations[2]};

inline constexpr std::array<Word<v1::OperationState>, 6> kOperationStates = {{
    {"pending", v1::OPERATION_STATE_PENDING},
    {"in-progress", v1::OPERATION_STATE_IN_PROGRESS},
    {"success", v1::OPERATION_STATE_SUCCESS},
    {"failed", v1::OPERATION_STATE_FAILED},
    {"expired", v1::OPERATION_STATE_EXPIRED},
    {"cancelled", v1::OPERATION_STATE_CANCELLED},
}};

inline constexpr std::array<Word<v1::EnrolmentAuthentication>, 4> kAuthenticationModes = {{
    {"string", v1::ENROLMENT_AUTHENTICATION_STRING},
    {"null", v1::ENROLMENT_AUTHENTICATION_NULL},
    {"certificate-lsc", v1::ENROLMENT_AUTHENTICATION_CERTIFICATE_LSC},
    {"certificate-mic", v1::ENROLMENT_AUTHENTICATION_CERTIFICATE_MIC},
}};
// A campaign shows nobody a string.
inline constexpr std::array<Word<v1::EnrolmentAuthentication>, 3> kCampaignAuthenticationModes = {
    kAuthenticationModes[1], kAuthenticationModes[2], kAuthenticationModes[3]};

inline constexpr std::array<Word<v1::LscInfo::Status>, 5> kLscStatuses = {{
    {"none", v1::LscInfo::STATUS_NONE},
    {"unacknowledged", v1::LscInfo::STATUS_UNACKNOWLEDGED},
    {"installed", v1::LscInfo::STATUS_INSTALLED},
    {"expired", v1::LscInfo::STATUS_EXPIRED},
    {"revoked", v1::LscInfo::STATUS_REVOKED},
}};

inline constexpr std::array<Word<v1::CampaignState>, 4> kCampaignStates = {{
    {"created", v1::CAMPAIGN_STATE_CREATED},
    {"running", v1::CAMPAIGN_STATE_RUNNING},
    {"paused", v1::CAMPAIGN_STATE_PAUSED},
    {"finished", v1::CAMPAIGN_STATE_FINISHED},
}};

enum class Switch { kNotGiven, kOn, kOff };
inline constexpr std::array<Word<Switch>, 2> kSwitches = {{{"on", Switch::kOn}, {"off", Switch::kOff}}};

// What KeyFromText reads.
inline constexpr std::array<std::string_view, 9> kDeviceKeys = {"rsa:2048",
                                                                "rsa:3072",
                                                                "rsa:4096",
                                                                "ec:secp256r1",
                                                                "ec:secp384r1",
                                                                "ec:secp521r1",
                                                                "ec-preferred:secp256r1",
                                                                "ec-preferred:secp384r1",
                                                                "ec-preferred:secp521r1"};

// InvalidArgument with all words for another one.
absl::StatusOr<v1::KeySpecification> KeyFromText(std::string_view text);

// As KeyFromText reads it, with the size of the RSA key behind it when EC is preferred and that is not 2048:
// "ec-preferred:secp256r1 (rsa:3072)".
std::string KeyText(const v1::KeySpecification& key);

CLI::Option* AddDeviceKey(CLI::App& command, std::optional<v1::KeySpecification>& key, const std::string& description);

// In the words of call managers: "Install/Upgrade", "By Null String". Unspecified: "No Pending Operation" and an empty
// cell.
std::string OperationForPeople(v1::CertificateOperation operation);
Cell AuthenticationForPeople(v1::EnrolmentAuthentication authentication);
// "in progress", "failed: the phone could not make the key"; empty for an operation that there never was.
Cell StatusForPeople(v1::OperationState state, const std::string& reason);

}  // namespace trustline
