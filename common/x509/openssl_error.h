// OpenSSL's error queue, turned into words.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace trustline {

// The reasons in this thread's error queue, oldest first, joined by "; " ("unknown reason" when it is empty). Leaves
// the queue empty.
std::string DrainOpenSslErrors();

// Annotated errors from the queue, which is left empty: "context: reasons".
absl::Status OpenSslInvalidArgument(std::string_view context);
absl::Status OpenSslInternal(std::string_view context);

// Empties this thread's error queue when made and when destroyed: for calls whose failure is an ordinary answer.
class OpenSslErrorScope {
 public:
  OpenSslErrorScope();
  ~OpenSslErrorScope();
  OpenSslErrorScope(const OpenSslErrorScope&) = delete;
  OpenSslErrorScope& operator=(const OpenSslErrorScope&) = delete;
};

}  // namespace trustline
