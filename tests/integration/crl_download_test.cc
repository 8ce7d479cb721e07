// CRLs over the wire from the real tvsd, also to very many at once and through the death of its database.
#include <thread>

#include "common/net/http_client.h"
#include "common/net/listener_test_support.h"
#include "common/x509/crl.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tvsd_process.h"
#include "tvs/trust_store_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class CrlDownloadTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(database_, ScratchDatabase::Create());
    store_ = std::make_unique<TestTrustStore>(*database_);
    ASSERT_OK_AND_ASSIGN(site_, TvsdSite::Create(database_->Conninfo("trustline_tvsd")));
    ASSERT_OK_AND_ASSIGN(tvsd_, TvsdProcess::Start(*site_, {.tables = "[crl]\naddress = \"127.0.0.1\"\nport = 0\n"
                                                                      "connections_per_address = 2000\n"}));
    ASSERT_NE(tvsd_->crl_port(), 0);
    ASSERT_OK(store_->PutAuthorityCrl("0123456789abcdef", crl_, absl::Now() + absl::Hours(24)));
  }

  absl::StatusOr<HttpResponse> Get(const std::string& path) const {
    return HttpGet("127.0.0.1", tvsd_->crl_port(), path, std::chrono::seconds(60));
  }

  const std::string path_ = "/crl/0123456789abcdef.crl";
  const std::string crl_ = MakeLargeCrl(MakeSelfSigned(AuthorityForm("Devices")), 80'000);  // 4 MB
  std::unique_ptr<ScratchDatabase> database_;
  std::unique_ptr<TestTrustStore> store_;
  std::unique_ptr<TvsdSite> site_;
  std::unique_ptr<TvsdProcess> tvsd_;
};

TEST_F(CrlDownloadTest, IsServedAlsoWhileTheDatabaseIsAway) {
  ASSERT_OK_AND_ASSIGN(const HttpResponse served, Get(path_));
  EXPECT_EQ(served.status, 200);
  EXPECT_EQ(served.content_type, "application/pkix-crl");
  EXPECT_EQ(served.body, crl_);
  EXPECT_OK(CertificateRevocationList::FromBytes(AsBytes(served.body)));
  EXPECT_EQ(Get("/crl/0000000000000000.crl")->status, 404);

  ASSERT_OK(database_->Kill());
  ASSERT_OK_AND_ASSIGN(const HttpResponse away, Get(path_));
  EXPECT_EQ(away.status, 200);
  EXPECT_EQ(away.body, crl_);
  EXPECT_EQ(Get("/crl/0000000000000000.crl")->status, 503);
  EXPECT_OK(tvsd_->WaitForLog("CRL_DATABASE_AWAY"));

  ASSERT_OK(database_->Restart());
  const std::string newer = MakeLargeCrl(MakeSelfSigned(AuthorityForm("Devices")), 1);
  ASSERT_OK(store_->PutAuthorityCrl("0123456789abcdef", newer, absl::Now() + absl::Hours(24)));
  const absl::Time limit = absl::Now() + absl::Seconds(30);
  while (Get(path_)->body != newer) ASSERT_LT(absl::Now(), limit);
  EXPECT_OK(tvsd_->WaitForLog("CRL_DATABASE_BACK"));
  const auto metrics = HttpGet("127.0.0.1", tvsd_->metrics_port(), "/metrics", std::chrono::seconds(5));
  ASSERT_OK(metrics);
  EXPECT_THAT(metrics->body, HasSubstr("trustline_crl_downloads_total{result=\"served_away\"}"));
  EXPECT_OK(tvsd_->Stop());
}

TEST_F(CrlDownloadTest, TheSectionSaysWhetherAndWhere) {
  ASSERT_OK_AND_ASSIGN(const auto without, TvsdProcess::Start(*site_, {.node = "node2"}));
  EXPECT_EQ(without->crl_port(), 0);
  EXPECT_THAT(TvsdProcess::Start(*site_, {.node = "node3", .tables = "[crl]\nprot = 9480\n"}).status().ToString(),
              AllOf(HasSubstr("prot"), HasSubstr("'port'")));
  const std::string taken = fmt::format("[crl]\naddress = \"127.0.0.1\"\nport = {}\n", tvsd_->crl_port());
  EXPECT_THAT(TvsdProcess::Start(*site_, {.node = "node4", .tables = taken}).status().ToString(),
              HasSubstr("the address is in use"));
}

// A fleet after its CRL's next update, beside clients that ask and do not read.
TEST_F(CrlDownloadTest, AFleetFetchesBesideClientsThatDoNotRead) {
  std::vector<RawClient> silent;
  for (int i = 0; i < 500; ++i) {
    RawClient client = RawClient::Connect(tvsd_->crl_port());
    client.Send(fmt::format("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", path_));
    silent.push_back(std::move(client));
  }
  constexpr int kThreads = 16;
  constexpr int kEach = 25;
  std::atomic<int> whole = 0;
  const absl::Time begin = absl::Now();
  std::vector<std::thread> phones;
  for (int i = 0; i < kThreads; ++i) {
    phones.emplace_back([&] {
      for (int j = 0; j < kEach; ++j) {
        const absl::StatusOr<HttpResponse> served = Get(path_);
        EXPECT_OK(served);
        if (served.ok() && served->body == crl_) ++whole;
      }
    });
  }
  for (std::thread& phone : phones) phone.join();
  RecordProperty("downloads_a_second", static_cast<int>(kThreads * kEach / absl::ToDoubleSeconds(absl::Now() - begin)));
  EXPECT_EQ(whole, kThreads * kEach);
  // One CRL in memory, not one a client.
  ASSERT_OK_AND_ASSIGN(const int64_t resident, tvsd_->ResidentBytes());
  RecordProperty("resident_mb", static_cast<int>(resident >> 20));
  EXPECT_LT(resident, 300 << 20);
}

}  // namespace
}  // namespace trustline
