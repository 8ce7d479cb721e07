// What a virtual phone asks the real tvsd is seen with the built trustctl, from the real itld.
#include <grpcpp/client_context.h>

#include <boost/json.hpp>
#include <filesystem>

#include "cli/phone/tvs_phone.h"
#include "cli/trustctl/context.h"
#include "common/rpc/channel.h"
#include "proto/listener.grpc.pb.h"
#include "tests/support/itld_process.h"
#include "tests/support/run_program.h"
#include "tests/support/status_matchers.h"
#include "tests/support/wire_vector.h"
#include "tvs/trust_store_testing.h"

namespace trustline {
namespace {

class TvsQuestionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(database_, ScratchDatabase::Create());
    TestTrustStore store(*database_);
    ASSERT_OK(store.Put({.certificate = known_, .role = 7}));
    ASSERT_OK_AND_ASSIGN(site_, ItldSite::Create(*database_));
    ASSERT_OK(site_->tvsd().Stop());
    ASSERT_OK_AND_ASSIGN(itld_, site_->StartItld({.quiet_time = "1h"}));
    ASSERT_OK_AND_ASSIGN(const IdentityFiles admin, site_->tvsd_site().IdentityFor("trustline:default/person/admin"));
    context_ = std::filesystem::path(admin.certificate).parent_path() / "context.toml";
    ASSERT_OK(WritePrivateFile(context_, ContextFileText("default", {{"itld", ItldAddress()}})));
  }

  std::string ItldAddress() const { return fmt::format("127.0.0.1:{}", itld_->grpc_port()); }
  absl::StatusOr<std::unique_ptr<TvsdProcess>> StartTvsd() {
    ASSIGN_OR_RETURN(std::unique_ptr<TvsdProcess> tvsd,
                     TvsdProcess::Start(site_->tvsd_site(), {.workers = 2, .itld = ItldAddress()}));
    RETURN_IF_ERROR(tvsd->WaitUntilReady());
    return tvsd;
  }
  static TvsPhone Phone(const TvsdProcess& tvsd, const std::string& device) {
    return TvsPhone({"127.0.0.1", tvsd.tvs_port()}, {.device_name = "CP-8841-" + device});
  }
  boost::json::array Questions(std::vector<std::string> options = {}) const {
    std::vector<std::string> arguments = {TRUSTLINE_BIN_DIR "/trustctl", "tvs", "questions", "--output", "json"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    const ProgramResult result = RunProgram(arguments, {"TRUSTLINE_CONTEXT=" + context_.string()});
    EXPECT_EQ(result.exit_status, 0) << result.err;
    if (result.exit_status != 0) return {};
    return boost::json::parse(result.out).as_array();
  }
  static std::string Text(const boost::json::value& row, const char* key) {
    const boost::json::value& value = row.at(key);
    return value.is_string() ? std::string(value.as_string()) : boost::json::serialize(value);
  }

  // The first column of the first row, once it is `expected`.
  void Await(const std::string& expected, const char* sql) const {
    ASSERT_OK_AND_ASSIGN(Connection superuser, database_->Connect());
    const absl::Time end = absl::Now() + absl::Seconds(60);
    while (true) {
      ASSERT_OK_AND_ASSIGN(const Result result, superuser.Execute(sql));
      ASSERT_OK_AND_ASSIGN(const std::string found, result.Value<std::string>());
      if (found == expected) return;
      ASSERT_LT(absl::Now(), end) << found << " instead of " << expected;
      absl::SleepFor(absl::Milliseconds(50));
    }
  }
  // A self-signed successor that the trust store vouches for, in place of what the node presents.
  absl::StatusOr<Certificate> ReplaceCertificate(const TvsdProcess& tvsd) {
    ASSIGN_OR_RETURN(const IdentityFiles admin, site_->tvsd_site().IdentityFor("trustline:default/person/admin"));
    ASSIGN_OR_RETURN(const auto channel, OpenChannel(fmt::format("127.0.0.1:{}", tvsd.grpc_port()), admin, "tvsd"));
    const auto listeners = v1::Listeners::NewStub(channel);
    v1::RequestListenerCertificateRequest request;
    request.set_self_signed(true);
    v1::RequestListenerCertificateResponse requested;
    grpc::ClientContext first, second;
    RETURN_IF_ERROR(ToAbsl(listeners->RequestListenerCertificate(&first, request, &requested)));
    ASSIGN_OR_RETURN(Certificate certificate, Certificate::FromDer(AsBytes(requested.certificate())));
    RETURN_IF_ERROR(TestTrustStore(*database_).Put({.certificate = certificate, .role = 21}));
    v1::ImportListenerCertificateRequest import;
    import.add_certificates(requested.certificate());
    v1::ImportListenerCertificateResponse imported;
    RETURN_IF_ERROR(ToAbsl(listeners->ImportListenerCertificate(&second, import, &imported)));
    return certificate;
  }

  const Certificate known_ = *Certificate::FromPem(ReadVector("appserver-ec.pem"));
  const Certificate unknown_ = *Certificate::FromPem(ReadVector("capf.pem"));
  std::unique_ptr<ScratchDatabase> database_;
  std::unique_ptr<ItldSite> site_;
  std::unique_ptr<DaemonProcess> itld_;
  std::filesystem::path context_;
};

TEST_F(TvsQuestionTest, AnUnknownSignerComesBeforeAKnownOne) {
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<TvsdProcess> tvsd, StartTvsd());
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK_AND_ASSIGN(const TvsAnswer answer, Phone(*tvsd, "SEP001122334455").Verify(known_.der()));
    EXPECT_TRUE(answer.valid);
  }
  // Two phones ask for whom their lists do not have, in the two ways that there are.
  for (const char* device : {"SEP001122334455", "SEP00112233AABB"}) {
    ASSERT_OK_AND_ASSIGN(const TvsAnswer answer, Phone(*tvsd, device)
                                                     .Query(PhoneNameText(unknown_.subject()),
                                                            PhoneNameText(unknown_.issuer()), unknown_.serial()));
    EXPECT_FALSE(answer.valid);
  }
  EXPECT_OK(Phone(*tvsd, "SEP00112233AABB").Verify(unknown_.der()).status());
  // The last of it goes out when the node stops.
  ASSERT_OK(tvsd->Stop());

  const boost::json::array questions = Questions();
  ASSERT_EQ(questions.size(), 3u);
  const boost::json::value& queried = questions[0];
  EXPECT_EQ(Text(queried, "verdict"), "invalid");
  EXPECT_EQ(Text(queried, "reason"), "unknown");
  EXPECT_EQ(Text(queried, "question"), "query");
  EXPECT_EQ(Text(queried, "subject"), unknown_.subject().ToText());
  EXPECT_EQ(Text(queried, "issuer"), unknown_.issuer().ToText());
  EXPECT_EQ(Text(queried, "serial"), ToHex(unknown_.serial()));
  EXPECT_EQ(queried.at("count").as_int64(), 2);
  EXPECT_EQ(queried.at("phones").as_int64(), 2);
  EXPECT_EQ(Text(queried, "nodes"), "[\"node1\"]");
  EXPECT_EQ(Text(questions[1], "question"), "verify");
  EXPECT_EQ(Text(questions[1], "reason"), "unknown");
  EXPECT_EQ(Text(questions[1], "subject"), unknown_.subject().ToText());
  EXPECT_EQ(Text(questions[1], "serial"), ToHex(unknown_.serial()));
  EXPECT_EQ(Text(questions[2], "verdict"), "valid");
  EXPECT_EQ(Text(questions[2], "subject"), known_.subject().ToText());
  EXPECT_EQ(questions[2].at("count").as_int64(), 3);

  EXPECT_EQ(Questions({"--unknown"}).size(), 2u);
  const boost::json::array of_one = Questions({"--device", "SEP001122334455"});
  ASSERT_EQ(of_one.size(), 2u);
  EXPECT_EQ(of_one[0].at("count").as_int64(), 1);
  EXPECT_EQ(Text(of_one[0], "device"), "SEP001122334455");
  EXPECT_EQ(Questions({"--by-device", "--verdict", "invalid"}).size(), 2u);
}

// What the pre-flight has to know of the node, from the start and whenever it changes.
TEST_F(TvsQuestionTest, TheNodeSaysWhichCertificateItPresents) {
  static constexpr char kPresented[] =
      "SELECT coalesce(string_agg(node || ' ' || encode(sha256, 'hex'), ', '), '') FROM tvs_node_certificate";
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<TvsdProcess> tvsd, StartTvsd());
  Await("node1 " + ToHex(site_->tvsd_site().tvs_certificate().sha256()), kPresented);
  ASSERT_OK_AND_ASSIGN(const Certificate replaced, ReplaceCertificate(*tvsd));
  ASSERT_NE(replaced, site_->tvsd_site().tvs_certificate());
  Await("node1 " + ToHex(replaced.sha256()), kPresented);
  EXPECT_THAT(Questions(), ::testing::IsEmpty());
}

// Two phones ask from the same address, which is that of one of them.
TEST_F(TvsQuestionTest, ASiteReachesTheNodeThatItsPhoneAskedFromItsOwnAddress) {
  ASSERT_OK(TestTrustStore(*database_)
                .RunByHand("INSERT INTO device (cluster_id, name, model, site, added_by) VALUES "
                           "(1, 'SEP001122334455', '8841', 'Berlin', 'test'), "
                           "(1, 'SEP00112233AABB', '8841', 'Bremen', 'test')"));
  ASSERT_OK(TestTrustStore(*database_)
                .RunByHand("UPDATE phone SET address = CASE site WHEN 'Berlin' THEN '127.0.0.1' ELSE '127.0.0.2' END"));
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<TvsdProcess> tvsd, StartTvsd());
  for (const char* device : {"SEP001122334455", "SEP00112233AABB"}) {
    ASSERT_OK(Phone(*tvsd, device).Verify(known_.der()).status());
  }
  ASSERT_OK(tvsd->Stop());
  EXPECT_THAT(Questions({"--by-device"}), ::testing::SizeIs(2));
  Await("Berlin node1", "SELECT coalesce(string_agg(site || device || ' ' || node, ', '), '') FROM tvs_reach");
}

// Without anybody stopping: within the interval of ten seconds.
TEST_F(TvsQuestionTest, ArrivesWhileTheNodeRuns) {
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<TvsdProcess> tvsd, StartTvsd());
  ASSERT_OK(Phone(*tvsd, "SEP001122334455").Verify(unknown_.der()).status());
  ASSERT_OK_AND_ASSIGN(Connection superuser, database_->Connect());
  const absl::Time end = absl::Now() + absl::Seconds(60);
  const auto counted = [&] {
    const auto result = superuser.Execute("SELECT count(*) FROM tvs_question");
    return result.ok() ? result->Value<int64_t>().value_or(0) : 0;
  };
  while (counted() == 0) {
    ASSERT_LT(absl::Now(), end);
    absl::SleepFor(absl::Milliseconds(50));
  }
  EXPECT_EQ(Questions({"--unknown"}).size(), 1u);
}

}  // namespace
}  // namespace trustline
