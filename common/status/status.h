// absl::Status as this system uses it: errors made from a format string, early returns, context added on the way up.
//
// Debian builds Abseil with its own string_view, which std::string_view does not convert to; texts are therefore
// std::string_view here and formatted with fmt, not with absl::StrCat.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Lets fmt print an absl::string_view, as Status::message() returns.
template <>
struct fmt::formatter<absl::string_view> : fmt::formatter<std::string_view> {
  template <typename Context>
  auto format(absl::string_view text, Context& context) const {
    return fmt::formatter<std::string_view>::format(std::string_view(text.data(), text.size()), context);
  }
};

namespace trustline {

inline std::string_view StatusMessage(const absl::Status& status) {
  return std::string_view(status.message().data(), status.message().size());
}

// "context: message" under the same code and with the same payloads. OK stays OK.
inline absl::Status Annotate(const absl::Status& status, std::string_view context) {
  if (status.ok()) return status;
  absl::Status annotated(status.code(), fmt::format("{}: {}", context, status.message()));
  status.ForEachPayload(
      [&](absl::string_view type, const absl::Cord& payload) { annotated.SetPayload(type, payload); });
  return annotated;
}

#define TRUSTLINE_STATUS_MAKER(name)                                            \
  template <typename... Args>                                                   \
  absl::Status name(fmt::format_string<Args...> format, Args&&... args) {       \
    return absl::name##Error(fmt::format(format, std::forward<Args>(args)...)); \
  }
TRUSTLINE_STATUS_MAKER(InvalidArgument)
TRUSTLINE_STATUS_MAKER(NotFound)
TRUSTLINE_STATUS_MAKER(AlreadyExists)
TRUSTLINE_STATUS_MAKER(FailedPrecondition)
TRUSTLINE_STATUS_MAKER(PermissionDenied)
TRUSTLINE_STATUS_MAKER(Unauthenticated)
TRUSTLINE_STATUS_MAKER(ResourceExhausted)
TRUSTLINE_STATUS_MAKER(Unavailable)
TRUSTLINE_STATUS_MAKER(DeadlineExceeded)
TRUSTLINE_STATUS_MAKER(Aborted)
TRUSTLINE_STATUS_MAKER(DataLoss)
TRUSTLINE_STATUS_MAKER(Internal)
#undef TRUSTLINE_STATUS_MAKER

}  // namespace trustline

#define TRUSTLINE_CONCAT_INNER(a, b) a##b
#define TRUSTLINE_CONCAT(a, b) TRUSTLINE_CONCAT_INNER(a, b)

// RETURN_IF_ERROR(expression of type absl::Status)
#define RETURN_IF_ERROR(expression)                                                        \
  do {                                                                                     \
    if (absl::Status status_or_ok = (expression); !status_or_ok.ok()) return status_or_ok; \
  } while (false)

// ASSIGN_OR_RETURN(declaration or lvalue, expression of type absl::StatusOr<T>)
#define ASSIGN_OR_RETURN(lhs, expression) \
  ASSIGN_OR_RETURN_INNER(TRUSTLINE_CONCAT(status_or_, __LINE__), lhs, expression)
#define ASSIGN_OR_RETURN_INNER(result, lhs, expression) \
  auto result = (expression);                           \
  if (!result.ok()) return std::move(result).status();  \
  lhs = *std::move(result)
