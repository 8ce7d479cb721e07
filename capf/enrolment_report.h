// What is known of devices' certificates and their enrolment.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"
#include "proto/enrolment.pb.h"

namespace trustline {

// How long a certificate may be unacknowledged before it counts as stale: a session lasts 30 minutes at most.
inline constexpr absl::Duration kStaleAfter = absl::Minutes(31);

// A row for each device of the cluster, by name: its newest certificate, its newest operation. In a transaction of its
// own.
absl::Status ReportEnrolment(Connection& transaction, int32_t cluster_id, const v1::ReportEnrolmentRequest& request,
                             v1::ReportEnrolmentResponse& response);

// NotFound for a device that the cluster does not have and of which nothing is on record. Several statements, which are
// to see one state.
absl::Status ShowEnrolment(Connection& connection, int32_t cluster_id, std::string_view device, absl::Time now,
                           v1::ShowEnrolmentResponse& response);

// Issued and never acknowledged: in force, and older than kStaleAfter or with a newer certificate of the device; or
// revoked as superseded. The newest first.
absl::Status ListStaleCertificates(Connection& connection, int32_t cluster_id, absl::Time now,
                                   const v1::ListStaleCertificatesRequest& request,
                                   v1::ListStaleCertificatesResponse& response);

}  // namespace trustline
