// cad, itld and PostgreSQL on a disk that is full: refused in words, nothing half done, and all goes on once there is
// room.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <set>
#include <vector>

#include "common/posix/unique_fd.h"
#include "tests/integration/cad_testing.h"

namespace trustline {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// PostgreSQL and what it keeps for two databases take about half of it.
constexpr char kDiskOptions[] = "size=200m,mode=0755";

// A small disk of this process's own, for all that it puts into the folder for temporary files. It stands in a mount
// namespace of the process and its children, and is gone with the last of them, however they end. Made before any
// thread, because a namespace belongs to one.
class SmallDisk : public ::testing::Environment {
 public:
  void SetUp() override {
    std::string folder = (fs::temp_directory_path() / "tl.XXXXXX").string();
    ASSERT_NE(mkdtemp(folder.data()), nullptr) << std::strerror(errno);
    folder_ = folder;
    ASSERT_NO_FATAL_FAILURE(EnterNamespace());
    // Else the mount would be seen outside.
    ASSERT_EQ(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0) << std::strerror(errno);
    ASSERT_EQ(mount("tmpfs", folder_.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, kDiskOptions), 0) << std::strerror(errno);
    ASSERT_EQ(setenv("TMPDIR", folder_.c_str(), 1), 0);
  }
  void TearDown() override {
    if (umount2(folder_.c_str(), MNT_DETACH) == 0) rmdir(folder_.c_str());
  }

 private:
  static void EnterNamespace() {
    const uid_t user = geteuid();
    const gid_t group = getegid();
    if (user == 0) {
      ASSERT_EQ(unshare(CLONE_NEWNS), 0) << std::strerror(errno);
      return;
    }
    // Others need a namespace of users for it, in which they are who they were.
    ASSERT_EQ(unshare(CLONE_NEWUSER | CLONE_NEWNS), 0) << std::strerror(errno);
    Tell("/proc/self/setgroups", "deny");
    Tell("/proc/self/uid_map", fmt::format("{0} {0} 1", user));
    Tell("/proc/self/gid_map", fmt::format("{0} {0} 1", group));
  }
  static void Tell(const char* path, const std::string& text) {
    const UniqueFd file(open(path, O_WRONLY | O_CLOEXEC));
    ASSERT_EQ(write(file.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()))
        << path << ": " << std::strerror(errno);
  }

  std::string folder_;
};

[[maybe_unused]] ::testing::Environment* const small_disk = ::testing::AddGlobalTestEnvironment(new SmallDisk);

class FullDiskTest : public CadTest {
 protected:
  // One request for a certificate, with a device and a request id of its own.
  struct Order {
    std::string device;
    std::string request;
    std::string id;
    absl::StatusOr<v1::IssueResponse> answer;
  };

  void SetUp() override {
    CadTest::SetUp();
    StartCad();
    ASSERT_OK(site_->MakeAuthority(*cad_, true));
  }

  // Puts the next order; whether it was answered.
  bool Issue() {
    const std::string device = fmt::format("SEP{:012X}", orders_.size());
    Order& order = orders_.emplace_back(
        Order{device, NewRequest(device), fmt::format("full-{}", orders_.size()), absl::UnknownError("not asked")});
    order.answer = Enroll(order.device, order.request, order.id);
    return order.answer.ok();
  }

  static std::string Filler() { return (fs::temp_directory_path() / "filler").string(); }
  // To the last page.
  static void FillDisk() {
    const UniqueFd file(open(Filler().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    ASSERT_TRUE(file.valid()) << std::strerror(errno);
    const std::string block(64 * 1024, 'x');
    for (size_t size = block.size(); size > 0;) {
      if (write(file.get(), block.data(), size) > 0) continue;
      ASSERT_EQ(errno, ENOSPC) << std::strerror(errno);
      size /= 2;
    }
  }

  absl::Status Prepare() {
    v1::PrepareAuthorityRequest request;
    request.set_key(v1::CERTIFICATE_KEY_EC_P256);
    v1::PrepareAuthorityResponse response;
    return Call(authorities_, &v1::Authorities::Stub::PrepareAuthority, request, response);
  }
  std::set<std::string> KeyFiles() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(site_->keys_folder()))
      names.insert(entry.path().filename().string());
    return names;
  }

  // The server may have ended for want of space, or come back by itself.
  void MakeDatabaseAnswer() {
    const absl::Time end = absl::Now() + absl::Seconds(10);
    absl::StatusOr<Connection> connection = database_->Connect();
    while (!connection.ok() && absl::Now() < end) {
      absl::SleepFor(absl::Milliseconds(100));
      connection = database_->Connect();
    }
    if (!connection.ok()) {
      ASSERT_OK(database_->Restart());
      connection = database_->Connect();
    }
    ASSERT_OK(connection);
    superuser_ = *std::move(connection);
  }

  // The certificate on record, as long as there is one and no more.
  std::string StoredCertificate(const Order& order) {
    const auto stored = superuser_->Execute(
        fmt::format("SELECT certificate FROM issuance WHERE request_id = '{}' AND certificate IS NOT NULL", order.id)
            .c_str());
    EXPECT_OK(stored);
    if (!stored.ok() || stored->rows() == 0) return "";
    EXPECT_EQ(stored->rows(), 1);
    return stored->Value<std::string>().value_or("");
  }

  std::vector<Order> orders_;
};

TEST_F(FullDiskTest, NothingIsHalfDoneAndAllGoesOnOnceThereIsRoom) {
  constexpr size_t kBefore = 5;
  constexpr size_t kAtMost = 200;
  constexpr size_t kAfterTheFirstFailure = 10;
  constexpr char kAnchors[] = "SELECT count(*) FROM trust_entry WHERE anchor AND removed_at IS NULL";
  for (size_t i = 0; i < kAtMost + kAfterTheFirstFailure + 1; ++i) AddDevice(fmt::format("SEP{:012X}", i));
  for (size_t i = 0; i < kBefore; ++i) EXPECT_TRUE(Issue()) << orders_.back().answer.status();
  const int64_t anchors = Count(kAnchors);
  const int64_t authorities = Count("SELECT count(*) FROM ca_authority");
  const std::set<std::string> key_files = KeyFiles();

  // 1. The disk is full. The server keeps the log segments that it has, so that tables are what cannot grow.
  ASSERT_OK(superuser_->Execute("CHECKPOINT"));
  ASSERT_NO_FATAL_FAILURE(FillDisk());
  while (orders_.size() < kAtMost && Issue()) {
  }
  const absl::Status refusal = orders_.back().answer.status();
  ASSERT_FALSE(refusal.ok()) << "all were issued on a full disk";
  const bool server_lives = superuser_->Execute("SELECT 1").ok();  // else it has ended instead of refusing
  if (server_lives) {
    EXPECT_THAT(refusal, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("the database's disk is full")));
  } else {
    EXPECT_THAT(refusal, StatusIs(absl::StatusCode::kUnavailable));
  }
  for (size_t i = 0; i < kAfterTheFirstFailure; ++i) Issue();

  // 2. A new authority neither: no key, no row, no anchor.
  ASSERT_NO_FATAL_FAILURE(FillDisk());
  EXPECT_THAT(Prepare(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr(server_lives ? "No space left on device" : "")));
  EXPECT_EQ(KeyFiles(), key_files);

  // 3. There is room again.
  ASSERT_EQ(unlink(Filler().c_str()), 0);
  ASSERT_NO_FATAL_FAILURE(MakeDatabaseAnswer());
  EXPECT_TRUE(cad_->Running());
  ASSERT_OK(cad_->WaitUntilReady());
  WaitForCount(kOpenIntents, 0, absl::Seconds(5));
  EXPECT_EQ(Count(kAnchors), anchors);
  EXPECT_EQ(Count("SELECT count(*) FROM ca_authority"), authorities);

  // 4. What was handed out is on record, and each request ends with one certificate.
  for (Order& order : orders_) {
    SCOPED_TRACE(order.id);
    if (order.answer.ok()) {
      EXPECT_EQ(StoredCertificate(order), order.answer->der());
    }
    const absl::StatusOr<v1::IssueResponse> again = Enroll(order.device, order.request, order.id);
    ASSERT_OK(again);
    EXPECT_EQ(StoredCertificate(order), again->der());
  }
  EXPECT_EQ(Count("SELECT count(*) FROM issuance"), Count("SELECT count(DISTINCT serial) FROM issuance"));
  EXPECT_EQ(Count("SELECT count(*) FROM issuance WHERE certificate IS NOT NULL"), static_cast<int64_t>(orders_.size()));

  // 5. A new authority too, and a certificate of it.
  ASSERT_OK(site_->MakeAuthority(*cad_, true));
  EXPECT_TRUE(Issue()) << orders_.back().answer.status();
}

}  // namespace
}  // namespace trustline
