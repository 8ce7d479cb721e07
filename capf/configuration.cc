#include "capf/configuration.h"

#include "common/status/status.h"

namespace trustline {
namespace {

constexpr absl::Duration kLongestSession = absl::Hours(2);

}  // namespace

absl::StatusOr<CapfdConfig> ReadCapfdConfig(ConfigTable root) {
  CapfdConfig config;
  ASSIGN_OR_RETURN(config.listeners, ReadListeners(root, kCapfPort));
  ASSIGN_OR_RETURN(ConfigTable capf, root.Table("capf"));
  ASSIGN_OR_RETURN(const int64_t workers, capf.IntegerOr("workers", 0, 0, 256));
  config.workers = static_cast<size_t>(workers);
  ASSIGN_OR_RETURN(const int64_t work_threads, capf.IntegerOr("work_threads", 16, 1, 64));
  config.work_threads = static_cast<size_t>(work_threads);
  ASSIGN_OR_RETURN(const int64_t rate, capf.IntegerOr("enrolments_per_second", 1'000, 1, 100'000));
  config.enrolments_per_second = static_cast<double>(rate);

  // Phones say that they are at work, each time anew, and an old one makes its key for up to half an hour.
  ASSIGN_OR_RETURN(config.keep_alive,
                   capf.DurationOr("keep_alive", absl::Minutes(15), absl::Minutes(5), absl::Minutes(60)));
  ASSIGN_OR_RETURN(config.endpoint.longest_session,
                   capf.DurationOr("longest_session", std::max(absl::Minutes(30), config.keep_alive), absl::Minutes(5),
                                   kLongestSession));
  if (config.endpoint.longest_session < config.keep_alive) {
    return capf.Error("longest_session", "is shorter than keep_alive, which a phone may use for one answer");
  }
  for (ListenerConfig& listener : config.listeners) {
    listener.server.patient_deadline = absl::ToChronoMilliseconds(config.keep_alive);
  }

  ASSIGN_OR_RETURN(config.string_key, capf.PathOr("string_key", "authentication-strings.key"));
  if (config.string_key.empty()) return capf.Error("string_key", "must not be empty");
  ASSIGN_OR_RETURN(config.string_key_passphrase_file, capf.PassphrasePathOr("passphrase", ""));
  if (config.string_key_passphrase_file.empty()) {
    config.string_key_passphrase_file = config.listeners.front().files.passphrase_file;
  }
  if (config.string_key_passphrase_file.empty()) {
    return capf.Error("passphrase_file",
                      "is needed for the key of the authentication strings, because the first [[listener]] has none");
  }

  ASSIGN_OR_RETURN(config.replace_string_key, capf.TextOr("replace_string_key", ""));

  ASSIGN_OR_RETURN(ConfigTable services, root.Table("services"));
  ASSIGN_OR_RETURN(config.cad, services.Text("cad"));
  return config;
}

}  // namespace trustline
