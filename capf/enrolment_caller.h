// On whose behalf something is done about enrolment.
#pragma once

#include <cstdint>
#include <string>

namespace trustline {

struct EnrolmentCaller {
  int32_t cluster_id = 0;
  std::string cluster;  // name
  std::string actor;    // identity URI
};

}  // namespace trustline
