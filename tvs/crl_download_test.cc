#include <future>

#include "common/net/http_client.h"
#include "common/net/listener_test_support.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"
#include "tvs/crl_downloads.h"
#include "tvs/crl_endpoint.h"
#include "tvs/trust_store_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr auto kNotFound = absl::StatusCode::kNotFound;
constexpr auto kUnavailable = absl::StatusCode::kUnavailable;
constexpr char kName[] = "0123456789abcdef";
constexpr char kOtherName[] = "fedcba9876543210";

// With bytes of its own: the thread sanitizer does not see the reference counts of Abseil's library.
absl::StatusOr<CrlDownload> Unshared(const absl::StatusOr<CrlDownload>& found) {
  if (found.ok()) return found;
  return absl::Status(found.status().code(), found.status().message());
}

class CrlDownloadsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(database_, ScratchDatabase::Create());
    store_ = std::make_unique<TestTrustStore>(*database_);
    ASSERT_OK(Put(kName, "first"));
  }

  absl::Status Put(std::string_view name, const std::string& der) {
    return store_->PutAuthorityCrl(name, der, kTestNow + absl::Hours(24));
  }
  void Start(CrlDownloadsOptions options = {.confirm_interval = std::chrono::milliseconds(0)}) {
    options.connection = database_->Conninfo("trustline_tvsd");
    options.application_name = "crl_download_test";
    ASSERT_OK_AND_ASSIGN(downloads_, CrlDownloads::Create(std::move(options), clock_, log_));
  }
  absl::StatusOr<CrlDownload> Find(const std::string& name) {
    std::promise<absl::StatusOr<CrlDownload>> found;
    downloads_->Find(name, [&found](const absl::StatusOr<CrlDownload>& crl) { found.set_value(Unshared(crl)); });
    return found.get_future().get();
  }
  // Its bytes, or what is wrong.
  std::string Bytes(const std::string& name) {
    const absl::StatusOr<CrlDownload> found = Find(name);
    return found.ok() ? *found->der : std::string(found.status().message());
  }

  FakeClock clock_{kTestNow};
  Log log_{{.service = "test", .sink = [](auto) {}}};
  Metrics metrics_{"tvsd"};
  std::unique_ptr<ScratchDatabase> database_;
  std::unique_ptr<TestTrustStore> store_;
  std::unique_ptr<CrlDownloads> downloads_;
};

TEST_F(CrlDownloadsTest, GivesTheNewest) {
  Start();
  ASSERT_OK_AND_ASSIGN(const CrlDownload first, Find(kName));
  EXPECT_EQ(*first.der, "first");
  EXPECT_EQ(first.sha256, Sha256(AsBytes("first")));
  EXPECT_EQ(first.next_update, kTestNow + absl::Hours(24));
  EXPECT_FALSE(first.database_away);
  ASSERT_OK_AND_ASSIGN(const CrlDownload again, Find(kName));
  EXPECT_EQ(again.der, first.der) << "read again although it is the same";

  ASSERT_OK(Put(kName, "second"));
  EXPECT_EQ(Bytes(kName), "second");
  EXPECT_EQ(*first.der, "first");
  EXPECT_THAT(Find(kOtherName), StatusIs(kNotFound));
  ASSERT_OK(store_->RunByHand("DELETE FROM ca_crl"));
  EXPECT_THAT(Find(kName), StatusIs(kNotFound));
}

TEST_F(CrlDownloadsTest, AnAnswerCountsForAnInterval) {
  Start({.confirm_interval = std::chrono::hours(1)});
  EXPECT_EQ(Bytes(kName), "first");
  ASSERT_OK(Put(kName, "second"));
  EXPECT_EQ(Bytes(kName), "first");
  // What is not there is asked for each time: an authority's first CRL is served at once.
  EXPECT_THAT(Find(kOtherName), StatusIs(kNotFound));
  ASSERT_OK(Put(kOtherName, "other"));
  EXPECT_EQ(Bytes(kOtherName), "other");
}

TEST_F(CrlDownloadsTest, MemoryServesWhileTheDatabaseIsAwayUntilTheNextUpdate) {
  Start();
  EXPECT_EQ(Bytes(kName), "first");
  ASSERT_OK(Put(kOtherName, "never asked for"));
  ASSERT_OK(database_->Kill());
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK_AND_ASSIGN(const CrlDownload crl, Find(kName));
    EXPECT_EQ(*crl.der, "first");
    EXPECT_TRUE(crl.database_away);
    EXPECT_THAT(Find(kOtherName), StatusIs(kUnavailable, HasSubstr("database is away")));
  }
  clock_.Advance(absl::Hours(24));
  EXPECT_THAT(Find(kName), StatusIs(kUnavailable));

  ASSERT_OK(database_->Restart());
  ASSERT_OK(Put(kName, "second"));
  const absl::Time limit = absl::Now() + absl::Seconds(30);
  while (Bytes(kName) != "second") ASSERT_LT(absl::Now(), limit);
  EXPECT_FALSE(Find(kName)->database_away);
}

TEST_F(CrlDownloadsTest, ADatabaseThatStandsStillIsAway) {
  Start();
  EXPECT_EQ(Bytes(kName), "first");
  ASSERT_OK(database_->Pause());
  const absl::Time begin = absl::Now();
  const absl::StatusOr<CrlDownload> crl = Find(kName);
  EXPECT_LT(absl::Now() - begin, absl::Seconds(10));
  EXPECT_OK(database_->Resume());
  ASSERT_OK(crl);
  EXPECT_TRUE(crl->database_away);
}

TEST_F(CrlDownloadsTest, MemoryIsBoundedByNumberAndByBytes) {
  for (const auto& options : {CrlDownloadsOptions{.confirm_interval = std::chrono::hours(1), .max_authorities = 2},
                              CrlDownloadsOptions{.confirm_interval = std::chrono::hours(1), .max_bytes = 18}}) {
    Start(options);
    const std::string names[] = {"000000000000000a", "000000000000000b", "000000000000000c"};
    for (const std::string& name : names) ASSERT_OK(Put(name, "8 bytes."));
    for (const std::string& name : {names[0], names[1], names[0], names[2]}) EXPECT_EQ(Bytes(name), "8 bytes.");
    for (const std::string& name : names) ASSERT_OK(Put(name, "changed!"));
    // The least recently asked for went, and is read anew; the other two are in memory.
    EXPECT_EQ(Bytes(names[0]), "8 bytes.");
    EXPECT_EQ(Bytes(names[2]), "8 bytes.");
    EXPECT_EQ(Bytes(names[1]), "changed!");
  }
}

TEST_F(CrlDownloadsTest, ManyThatAskAtOnceAreAllAnswered) {
  Start();
  ASSERT_OK(Put(kOtherName, "other"));
  std::atomic<int> first = 0;
  std::atomic<int> other = 0;
  std::atomic<int> missing = 0;
  std::atomic<int> answered = 0;
  for (int i = 0; i < 3'000; ++i) {
    const std::string name = i % 3 == 0 ? kName : i % 3 == 1 ? kOtherName : fmt::format("{:016x}", i);
    downloads_->Find(name, [&](const absl::StatusOr<CrlDownload>& crl) {
      if (absl::IsNotFound(crl.status())) ++missing;
      if (crl.ok() && *crl->der == "first") ++first;
      if (crl.ok() && *crl->der == "other") ++other;
      ++answered;
    });
  }
  while (answered < 3'000) std::this_thread::yield();
  EXPECT_EQ(first, 1'000);
  EXPECT_EQ(other, 1'000);
  EXPECT_EQ(missing, 1'000);
}

TEST_F(CrlDownloadsTest, WhoWaitsWhenItStopsIsAnswered) {
  Start();
  ASSERT_OK(database_->Pause());
  std::promise<absl::StatusOr<CrlDownload>> waiting;
  downloads_->Find(kName, [&](const absl::StatusOr<CrlDownload>& crl) { waiting.set_value(Unshared(crl)); });
  downloads_->Stop();
  EXPECT_THAT(waiting.get_future().get(), StatusIs(kUnavailable));
  EXPECT_THAT(Find(kName), StatusIs(kUnavailable, HasSubstr("stopping")));
  EXPECT_OK(database_->Resume());
}

class CrlEndpointTest : public CrlDownloadsTest {
 protected:
  void SetUp() override {
    CrlDownloadsTest::SetUp();
    Start();
    ASSERT_OK_AND_ASSIGN(
        endpoint_, CrlEndpoint::Start({.address = "127.0.0.1", .connections = 500, .connections_per_address = 500},
                                      *downloads_, CrlDownloadCounters(metrics_)));
  }
  std::string Ask(std::string_view path, std::string_view fields = "") {
    RawClient client = RawClient::Connect(endpoint_->port());
    client.Send(fmt::format("GET {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{}\r\n", path, fields));
    return client.ReadUntilClosed().value_or("still open");
  }
  uint64_t Downloads(const char* result) {
    return metrics_.GetCounter("trustline_crl_downloads_total", "", {{"result", result}}).value();
  }

  const std::string path_ = fmt::format("/crl/{}.crl", kName);
  std::unique_ptr<CrlEndpoint> endpoint_;
};

TEST_F(CrlEndpointTest, ServesTheCrlWithItsType) {
  const std::string answer = Ask(path_);
  const std::string tag = fmt::format("\"{}\"", ToHex(Sha256(AsBytes("first"))));
  EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 200"), HasSubstr("Content-Type: application/pkix-crl\r\n"),
                            HasSubstr("ETag: " + tag), EndsWith("\r\n\r\nfirst")));
  EXPECT_THAT(Ask(path_, fmt::format("If-None-Match: {}\r\n", tag)), StartsWith("HTTP/1.1 304"));
  ASSERT_OK(Put(kName, "second"));
  EXPECT_THAT(Ask(path_, fmt::format("If-None-Match: {}\r\n", tag)), EndsWith("second"));
  EXPECT_EQ(Downloads("served"), 3u);
}

TEST_F(CrlEndpointTest, EveryOtherPathGetsTheSameAnswer) {
  const std::string unknown = Ask("/crl/0000000000000000.crl");
  EXPECT_THAT(unknown, StartsWith("HTTP/1.1 404"));
  const std::vector<std::string> paths = {"/",
                                          "/crl/",
                                          "/crl/0123456789ABCDEF.crl",
                                          "/crl/0123456789abcdef",
                                          "/crl/0123456789abcdef.crl.crl",
                                          "/crl/../crl/0123456789abcdef.crl",
                                          "/crl/0123456789abcde'.crl",
                                          "/CRL/0123456789abcdef.crl",
                                          "/crl/0123456789abcdef.pem",
                                          "/metrics"};
  for (const std::string& path : paths) EXPECT_EQ(Ask(path), unknown) << path;
  EXPECT_EQ(Downloads("not_found"), paths.size() + 1);
}

TEST_F(CrlEndpointTest, SaysSoWhenItCannotRead) {
  ASSERT_OK(database_->Kill());
  EXPECT_THAT(Ask(path_), AllOf(StartsWith("HTTP/1.1 503"), HasSubstr("Retry-After: 10\r\n"), HasSubstr("try again")));
  EXPECT_EQ(Downloads("unavailable"), 1u);
}

TEST_F(CrlEndpointTest, MayEndWhileAnswersAreOwed) {
  ASSERT_OK(database_->Pause());
  RawClient waiting = RawClient::Connect(endpoint_->port());
  waiting.Send(fmt::format("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", path_));
  EXPECT_THAT(Ask("/"), StartsWith("HTTP/1.1 404"));  // the thread of the server has read the other request before
  endpoint_.reset();
  EXPECT_EQ(waiting.ReadUntilClosed(), "");
  downloads_->Stop();
  EXPECT_OK(database_->Resume());
}

}  // namespace
}  // namespace trustline
