// What is known of phones as it stands in gRPC messages.
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/bytes/checksums.h"
#include "itl/phone/claim_store.h"
#include "itl/phone/holding_view.h"
#include "itl/phone/phone_reader.h"
#include "proto/phone_trust.pb.h"

namespace trustline {

inline constexpr std::array kPhoneStatuses = {PhoneStatus::kMatch, PhoneStatus::kMismatch, PhoneStatus::kNotInstalled,
                                              PhoneStatus::kUnknown, PhoneStatus::kForeign};
// "Match", "Mismatch", "Not Installed", "Unknown", "Foreign".
std::string_view PhoneStatusText(PhoneStatus status);
v1::PhoneStatus ToProto(PhoneStatus status);

v1::HeldList ToProto(const HoldingView& view, const std::optional<Sha1Digest>& sha1);
v1::Phone ToProto(const PhoneRow& phone, const HoldingViews& views);
// `known`: the device in service of that name, if there is one; its model and site.
v1::Phone ToProto(const Claim& claim, const HoldingView& view, const PhoneRow* known);

// InvalidArgument for a status that is none.
absl::StatusOr<PhoneFilter> FromProto(const v1::PhoneFilter& filter);

}  // namespace trustline
