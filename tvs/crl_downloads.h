// The CRLs of our own authorities, as cad leaves them in the database, for phones and others to download.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bytes/sha256.h"
#include "common/postgres/pool.h"
#include "common/service/clock.h"
#include "common/service/log.h"

namespace trustline {

struct CrlDownload {
  std::shared_ptr<const std::string> der;
  Sha256Digest sha256;
  absl::Time next_update;
  bool database_away = false;  // from memory, because the database could not be asked whether it is still the newest
};

struct CrlDownloadsOptions {
  std::string connection;  // libpq's connection string of a role that may read ca_crl; a replica will do
  std::string application_name;
  std::chrono::milliseconds confirm_interval{1'000};  // how long an answer about an authority counts
  // What is kept in memory; beyond it the least recently asked for goes.
  size_t max_authorities = 64;
  size_t max_bytes = 64 << 20;
};

// A thread asks the database for all who wait at once, and reads a CRL only when its SHA-256 has changed.
class CrlDownloads {
 public:
  // InvalidArgument for options that contradict themselves. Does not connect. The references must outlive it.
  static absl::StatusOr<std::unique_ptr<CrlDownloads>> Create(CrlDownloadsOptions options, const Clock& clock,
                                                              Log& log);
  ~CrlDownloads() { Stop(); }

  // Calls `done`, at once or later in the thread, with the newest CRL of the authority of that name (ca_authority's
  // key_name). NotFound when there is none; Unavailable when the database is away and none is in memory that is before
  // its next update. The number of those who wait is the caller's to bound.
  using Done = std::function<void(absl::StatusOr<CrlDownload>)>;
  void Find(std::string key_name, Done done);

  // Ends every Find() that waits with Unavailable. Idempotent.
  void Stop();

 private:
  using SteadyTime = std::chrono::steady_clock::time_point;
  struct Cached {
    CrlDownload crl;
    SteadyTime confirmed;  // when the database was last asked
    SteadyTime used;
  };
  struct Stored {
    Sha256Digest sha256;
    int64_t size;
  };
  struct Waiting {
    std::string key_name;
    Done done;
  };

  CrlDownloads(CrlDownloadsOptions options, std::unique_ptr<Pool> pool, const Clock& clock, Log& log);
  void AnswerLoop();
  void AnswerAll(std::vector<Waiting> asked);
  absl::StatusOr<std::map<std::string, Stored>> Look(const std::vector<std::string>& key_names);
  absl::StatusOr<CrlDownload> Refresh(const std::string& key_name, const std::map<std::string, Stored>& stored);
  absl::StatusOr<CrlDownload> Read(const std::string& key_name);
  absl::StatusOr<CrlDownload> FromMemory(const std::string& key_name, const absl::Status& away);
  void Keep(const std::string& key_name, const CrlDownload& crl);
  void ReportDatabase(const absl::Status& status);

  const CrlDownloadsOptions options_;
  const Clock& clock_;
  Log& log_;
  const std::unique_ptr<Pool> pool_;

  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::vector<Waiting> waiting_;
  std::map<std::string, Cached, std::less<>> cached_;
  bool database_away_ = false;  // of the thread
  std::thread thread_;
};

}  // namespace trustline
