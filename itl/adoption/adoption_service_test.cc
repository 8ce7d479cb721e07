// Adoption over real mutual TLS, with the lists of tests/vectors.
#include "itl/adoption/adoption_service.h"

#include <fstream>
#include <sstream>

#include "common/bytes/checksums.h"
#include "common/rpc/proto_time.h"
#include "itl/itl_services_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Stub = v1::Adoption::Stub;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

std::string VectorFile(const std::string& name) {
  std::ifstream file(TRUSTLINE_SOURCE_DIR "/tests/vectors/" + name, std::ios::binary);
  std::stringstream content;
  content << file.rdbuf();
  return content.str();
}

std::string HashOf(const std::string& content) { return ToHex(Sha1(AsBytes(content))); }

class AdoptionServiceTest : public ItlServicesTest {
 protected:
  void SetUp() override {
    ItlServicesTest::SetUp();
    holdings_ = std::make_unique<HoldingStore>(*pool_);
    ASSERT_OK_AND_ASSIGN(service_, AdoptionService::Create({.authorizer = *authorizer_,
                                                            .pool = *pool_,
                                                            .import_pool = *import_pool_,
                                                            .report_pool = *pool_,
                                                            .holdings = *holdings_,
                                                            .clock = clock_}));
    server_->Shutdown(absl::ZeroDuration());
    ASSERT_OK_AND_ASSIGN(server_, RpcServer::Start({.identity = itld_identity_.files()}, {service_.get()}, health_));
    RunByHand(
        "INSERT INTO device (cluster_id, name, model, site, added_by) SELECT 1, 'SEP00000000000' || n, '8841', "
        "'Berlin', 'test' FROM generate_series(1, 5) AS n");
  }

  static void AddFile(v1::AdoptListsRequest& request, v1::TrustListKind kind, const std::string& server,
                      const std::string& content) {
    v1::AdoptListsRequest::File& file = *request.add_files();
    file.set_kind(kind);
    file.set_tftp_server(server);
    file.set_content(content);
  }
  v1::AdoptListsRequest Lists(const std::string& origin, const std::string& itl, const std::string& server = "CUCM1") {
    v1::AdoptListsRequest request;
    request.set_cluster("default");
    request.set_origin(origin);
    request.set_reason("a test");
    AddFile(request, v1::TRUST_LIST_KIND_ITL, server, itl);
    return request;
  }
  absl::StatusOr<v1::AdoptListsResponse> Adopt(const v1::AdoptListsRequest& request) {
    v1::AdoptListsResponse response;
    RETURN_IF_ERROR(Call(*As<v1::Adoption>(admin_.files()), &Stub::AdoptLists, request, response));
    return response;
  }
  std::vector<v1::ListAdoptedResponse::List> Adopted() {
    v1::ListAdoptedResponse response;
    EXPECT_OK(Call(*As<v1::Adoption>(viewer_.files()), &Stub::ListAdopted, v1::ListAdoptedRequest(), response));
    return {response.lists().begin(), response.lists().end()};
  }

  static v1::SeedHoldingsRequest::Holding Holding(int device, const std::string& itl, int64_t at = 1'795'000'000) {
    v1::SeedHoldingsRequest::Holding holding;
    holding.set_device(fmt::format("SEP00000000000{}", device));
    holding.set_itl_signature(itl);
    holding.set_itl_tftp_server("cucm1");
    holding.mutable_at()->set_seconds(at);
    return holding;
  }
  absl::StatusOr<v1::SeedHoldingsResponse> Seed(const std::vector<v1::SeedHoldingsRequest::Holding>& holdings) {
    v1::SeedHoldingsRequest request;
    request.set_cluster("default");
    for (const auto& holding : holdings) *request.add_holdings() = holding;
    v1::SeedHoldingsResponse response;
    RETURN_IF_ERROR(Call(*As<v1::Adoption>(admin_.files()), &Stub::SeedHoldings, request, response));
    return response;
  }
  // "origin/server": whose list a phone's live row, its ledger's head, and its ledger mean; "-" for none that is known.
  std::string Held(int device, const char* column = "holding_id") {
    return Text(
        fmt::format("SELECT coalesce((SELECT a.origin || '/' || a.tftp_server FROM phone_holding h JOIN "
                    "adopted_list a USING (cluster_id, adopted_id) WHERE h.holding_id = p.{}), '-') FROM phone p "
                    "WHERE device = 'SEP00000000000{}'",
                    column, device)
            .c_str());
  }
  std::string Ledger(int device) {
    return Text(fmt::format("SELECT coalesce(string_agg(coalesce(a.origin, '-') || ' ' || k.how || ' ' || (extract("
                            "epoch FROM k.first_at)::bigint - 1795000000) || ' ' || (extract(epoch FROM "
                            "k.last_at)::bigint - 1795000000), ', '), '') FROM phone_held k JOIN phone_holding h "
                            "USING (cluster_id, holding_id) LEFT JOIN adopted_list a USING (cluster_id, adopted_id) "
                            "WHERE k.device = 'SEP00000000000{}'",
                            device)
                    .c_str());
  }
  int64_t Audited(const std::string& action) {
    return Count(fmt::format("SELECT count(*) FROM audit_event WHERE action = '{}'", action).c_str());
  }

  const std::string itl_ = VectorFile("ITLFile-sha1.tlv");
  const std::string later_itl_ = VectorFile("ITLFile-vendor-form.tlv");
  const std::string ctl_ = VectorFile("ITLFile-sha512.tlv");
  std::unique_ptr<HoldingStore> holdings_;
  std::unique_ptr<AdoptionService> service_;
};

TEST_F(AdoptionServiceTest, ListsAreKeptAndRepeatingItChangesNothing) {
  v1::AdoptListsRequest request = Lists("berlin", itl_);
  AddFile(request, v1::TRUST_LIST_KIND_CTL, "cucm1", ctl_);
  ASSERT_OK_AND_ASSIGN(v1::AdoptListsResponse response, Adopt(request));
  ASSERT_THAT(response.lists(), SizeIs(2));
  EXPECT_EQ(response.lists(0).tftp_server(), "cucm1");
  EXPECT_EQ(ToHex(AsBytes(response.lists(0).sha1())), HashOf(itl_));
  EXPECT_TRUE(response.lists(0).added());
  EXPECT_EQ(response.lists(0).records(), 5);
  EXPECT_THAT(response.lists(0).signer(), HasSubstr("itlrecovery"));
  EXPECT_TRUE(response.lists(0).signature_verified());
  EXPECT_EQ(response.lists(0).remark(), "");
  EXPECT_EQ(response.lists(1).kind(), v1::TRUST_LIST_KIND_CTL);
  EXPECT_TRUE(response.lists(1).added());

  ASSERT_OK_AND_ASSIGN(response, Adopt(request));
  EXPECT_FALSE(response.lists(0).added());
  EXPECT_FALSE(response.lists(1).added());
  EXPECT_EQ(Audited("adoption.lists"), 1) << "the second time changed nothing";
  EXPECT_THAT(Text("SELECT detail FROM audit_event WHERE action = 'adoption.lists'"),
              AllOf(HasSubstr("ITL of cucm1: SHA-1 " + HashOf(itl_)), HasSubstr(R"("reason":"a test")")));

  const auto lists = Adopted();
  ASSERT_THAT(lists, SizeIs(2));
  EXPECT_EQ(lists[0].origin(), "berlin");
  EXPECT_FALSE(lists[0].own());
  EXPECT_EQ(lists[0].kind(), v1::TRUST_LIST_KIND_ITL);
  EXPECT_EQ(ToHex(AsBytes(lists[0].sha1())), HashOf(itl_));
  EXPECT_TRUE(lists[0].is_current());
  EXPECT_EQ(lists[0].size(), std::ssize(itl_));
  EXPECT_EQ(lists[0].adopted_by(), kTestActor);
  EXPECT_EQ(lists[0].phones(), 0);
}

TEST_F(AdoptionServiceTest, TheNewestFetchedIsCurrent) {
  const auto current = [&] {
    std::string hash;
    for (const auto& list : Adopted()) {
      if (!list.is_current()) continue;
      EXPECT_EQ(hash, "") << "one alone";
      hash = ToHex(AsBytes(list.sha1()));
    }
    return hash;
  };
  ASSERT_OK(Adopt(Lists("berlin", itl_)));
  ASSERT_OK(Adopt(Lists("berlin", later_itl_)));
  EXPECT_EQ(current(), HashOf(later_itl_));
  ASSERT_OK_AND_ASSIGN(const v1::AdoptListsResponse back, Adopt(Lists("berlin", itl_)));
  EXPECT_FALSE(back.lists(0).added());
  EXPECT_EQ(current(), HashOf(itl_));
  EXPECT_EQ(Audited("adoption.lists"), 3);
  // Another server's and another origin's are theirs.
  ASSERT_OK(Adopt(Lists("berlin", itl_, "cucm2")));
  ASSERT_OK(Adopt(Lists("hamburg", itl_)));
  EXPECT_EQ(Count("SELECT count(*) FROM adopted_list WHERE is_current"), 3);

  v1::AdoptListsRequest own = Lists("berlin", itl_);
  own.set_own(true);
  ASSERT_OK(Adopt(own));
  EXPECT_EQ(Count("SELECT count(*) FROM adopted_list WHERE own"), 3) << "an origin is history as a whole";
  EXPECT_EQ(Count("SELECT count(*) FROM trust_entry"), 0) << "what is trusted is for an administrator to say";
}

TEST_F(AdoptionServiceTest, WhatDoesNotVerifyIsMarked) {
  std::string changed = itl_;
  changed.replace(changed.find("ITLFile.tlv"), 3, "XTL");
  ASSERT_OK_AND_ASSIGN(const v1::AdoptListsResponse response, Adopt(Lists("berlin", changed)));
  EXPECT_FALSE(response.lists(0).signature_verified());
  EXPECT_THAT(response.lists(0).remark(), HasSubstr("signature"));
  EXPECT_TRUE(response.lists(0).added());
}

TEST_F(AdoptionServiceTest, WhatCannotBeAListIsRefusedWhole) {
  const auto refused = [&](const v1::AdoptListsRequest& request, const std::string& why) {
    EXPECT_THAT(Adopt(request), StatusIs(kInvalid, HasSubstr(why)));
  };
  refused(Lists("", itl_), "adopted cluster");
  refused(Lists(std::string(64, 'x'), itl_), "adopted cluster");
  refused(Lists("ber\nlin", itl_), "adopted cluster");
  refused(Lists(" berlin", itl_), "adopted cluster");
  refused(Lists("berlin", itl_, "cucm1:69"), "no host");
  refused(Lists("berlin", ""), "file 1");
  refused(Lists("berlin", std::string(128 * 1024 + 1, 'x')), "more than");
  v1::AdoptListsRequest request = Lists("berlin", itl_);
  AddFile(request, v1::TRUST_LIST_KIND_CTL, "cucm1", itl_.substr(0, 4000));
  refused(request, "file 2");
  request = Lists("berlin", itl_);
  request.mutable_files(0)->set_kind(v1::TRUST_LIST_KIND_UNSPECIFIED);
  refused(request, "ITL or a CTL");
  request.clear_files();
  refused(request, "one to 64 files");
  for (int i = 0; i < 65; ++i) AddFile(request, v1::TRUST_LIST_KIND_ITL, fmt::format("cucm{}", i), itl_);
  refused(request, "one to 64 files");
  request = Lists("berlin", itl_);
  request.set_reason(std::string(201, 'x'));
  refused(request, "reason");
  EXPECT_THAT(Adopted(), IsEmpty());
  v1::AdoptListsResponse response;
  EXPECT_THAT(Call(*As<v1::Adoption>(viewer_.files()), &Stub::AdoptLists, Lists("berlin", itl_), response),
              StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST_F(AdoptionServiceTest, HoldingsAreSeeded) {
  v1::SeedHoldingsRequest::Holding lower = Holding(2, "not installed");
  lower.set_device("sep000000000002");
  v1::SeedHoldingsRequest::Holding unknown = Holding(9, HashOf(itl_));
  v1::SeedHoldingsRequest::Holding broken = Holding(3, "12 34");
  v1::SeedHoldingsRequest::Holding nobody = Holding(3, HashOf(itl_));
  nobody.set_device("phone3");
  ASSERT_OK_AND_ASSIGN(v1::SeedHoldingsResponse response,
                       Seed({Holding(1, HashOf(itl_)), lower, unknown, broken, nobody}));
  EXPECT_EQ(response.seeded(), 2);
  EXPECT_EQ(response.older(), 0);
  EXPECT_EQ(response.not_known(), 1);
  EXPECT_THAT(response.problems(),
              ElementsAre(AllOf(HasSubstr("SEP000000000003: "), HasSubstr("SHA-1")), HasSubstr("phone3: "),
                          "SEP000000000009: is not a device in service: import it first (--phones)"));
  EXPECT_EQ(Count("SELECT count(*) FROM phone_claim"), 0) << "nobody claims anything";
  EXPECT_EQ(Ledger(1), "- adopted 0 0");
  EXPECT_EQ(Count("SELECT count(*) FROM phone_history WHERE event = 'adopted'"), 2);
  EXPECT_EQ(Text("SELECT via FROM phone WHERE device = 'SEP000000000001'"), fmt::format("adopted by {}", kTestActor));
  EXPECT_EQ(Audited("adoption.holdings"), 1);
  ASSERT_OK_AND_ASSIGN(response, Seed({Holding(1, HashOf(itl_))}));
  EXPECT_EQ(Count("SELECT count(*) FROM phone_history WHERE event = 'adopted'"), 2) << "said already";

  // The past does not replace what is known since; it enters the ledger.
  ASSERT_OK_AND_ASSIGN(response, Seed({Holding(1, HashOf(ctl_), 1'794'000'000)}));
  EXPECT_EQ(response.older(), 1);
  EXPECT_EQ(response.seeded(), 0);
  EXPECT_EQ(Text("SELECT encode(itl_sha1, 'hex') FROM phone WHERE device = 'SEP000000000001'"), HashOf(itl_));
  EXPECT_EQ(Count("SELECT count(*) FROM phone_held WHERE device = 'SEP000000000001'"), 2);

  // A year that is wrong would be the newest for ever.
  ASSERT_OK_AND_ASSIGN(response, Seed({Holding(1, HashOf(ctl_), 4'070'908'800)}));
  EXPECT_EQ(response.seeded(), 0);
  EXPECT_THAT(response.problems(), ElementsAre(HasSubstr("2099-01-01")));

  v1::SeedHoldingsRequest request;
  for (int i = 0; i < 1001; ++i) *request.add_holdings() = Holding(1, HashOf(itl_));
  EXPECT_THAT(Call(*As<v1::Adoption>(admin_.files()), &Stub::SeedHoldings, request, response),
              StatusIs(kInvalid, HasSubstr("at most 1000")));
  EXPECT_THAT(Call(*As<v1::Adoption>(viewer_.files()), &Stub::SeedHoldings, v1::SeedHoldingsRequest(), response),
              StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST_F(AdoptionServiceTest, SeedingIsAuditedExactlyWhenItIsKept) {
  const auto rows = [&] {
    return fmt::format("{} {} {}", Count("SELECT count(*) FROM phone WHERE reported_at IS NOT NULL"),
                       Count("SELECT count(*) FROM phone_held"), Audited("adoption.holdings"));
  };
  RunByHand("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$");
  for (const char* const table : {"audit_event", "phone_held"}) {
    RunByHand(fmt::format("CREATE TRIGGER refuse BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION refuse()", table));
    EXPECT_FALSE(Seed({Holding(1, HashOf(itl_)), Holding(2, HashOf(itl_))}).ok()) << table;
    RunByHand(fmt::format("DROP TRIGGER refuse ON {}", table));
    EXPECT_EQ(rows(), "0 0 0") << table;
  }
  ASSERT_OK(Seed({Holding(1, HashOf(itl_)), Holding(2, HashOf(itl_))}));
  EXPECT_EQ(rows(), "2 2 1");
  EXPECT_EQ(Text("SELECT subject || ': ' || detail FROM audit_event WHERE action = 'adoption.holdings'"),
            R"(2 phones: {"first":"SEP000000000001","last":"SEP000000000002"})");
  ASSERT_OK(Seed({Holding(9, HashOf(itl_))}));
  EXPECT_EQ(rows(), "2 2 1") << "nothing was kept";
}

TEST_F(AdoptionServiceTest, TheFileOfAListIsGivenByItsHash) {
  v1::AdoptListsRequest lists = Lists("berlin", itl_);
  AddFile(lists, v1::TRUST_LIST_KIND_ITL, "cucm2", itl_);
  AddFile(lists, v1::TRUST_LIST_KIND_CTL, "cucm1", ctl_);
  ASSERT_OK(Adopt(lists));
  ASSERT_OK(Adopt(Lists("berlin", later_itl_)));
  ASSERT_OK(Seed({Holding(1, HashOf(itl_)), Holding(2, HashOf(later_itl_))}));
  for (const auto& list : Adopted()) EXPECT_EQ(list.content(), "");

  v1::ListAdoptedRequest request;
  v1::ListAdoptedResponse response;
  request.set_cluster("default");
  const auto ask = [&](const std::string& sha1) {
    request.set_sha1(sha1);
    return Call(*As<v1::Adoption>(viewer_.files()), &Stub::ListAdopted, request, response);
  };
  ASSERT_OK(ask(std::string(AsText(Sha1(AsBytes(itl_))))));
  ASSERT_THAT(response.lists(), SizeIs(2));
  EXPECT_FALSE(response.lists(0).is_current()) << "of cucm1 there is a later one";
  EXPECT_EQ(response.lists(0).phones(), 1);
  EXPECT_EQ(response.lists(0).content(), itl_);
  EXPECT_EQ(response.lists(1).tftp_server(), "cucm2");
  EXPECT_EQ(response.lists(1).phones(), 1);
  EXPECT_EQ(response.lists(1).content(), "") << "the same file";
  ASSERT_OK(ask(std::string(AsText(Sha1(AsBytes(ctl_))))));
  ASSERT_THAT(response.lists(), SizeIs(1));
  EXPECT_EQ(response.lists(0).kind(), v1::TRUST_LIST_KIND_CTL);
  EXPECT_EQ(response.lists(0).content(), ctl_);
  EXPECT_THAT(ask(std::string(20, 'x')), StatusIs(absl::StatusCode::kNotFound, HasSubstr("`trustctl adopt list`")));
  EXPECT_THAT(ask("x"), StatusIs(kInvalid, HasSubstr("20 bytes, not 1")));
}

TEST_F(AdoptionServiceTest, PhonesThatSaidSoHoldAnAdoptedList) {
  v1::SeedHoldingsRequest::Holding with_ctl = Holding(2, HashOf(itl_));
  with_ctl.set_ctl_signature(HashOf(ctl_));
  ASSERT_OK(Seed({Holding(1, HashOf(itl_)), with_ctl, Holding(3, HashOf(later_itl_))}));
  EXPECT_EQ(Held(1), "-");

  v1::AdoptListsRequest request = Lists("berlin", itl_);
  AddFile(request, v1::TRUST_LIST_KIND_CTL, "cucm1", ctl_);
  ASSERT_OK(Adopt(request));
  for (const char* const column : {"holding_id", "held_id"}) {
    EXPECT_EQ(Held(1, column), "berlin/cucm1") << column;
    EXPECT_EQ(Held(2, column), "berlin/cucm1") << column;
    EXPECT_EQ(Held(3, column), "-") << column;
  }
  for (const char* const column : {"ctl_holding_id", "held_ctl_id"}) {
    EXPECT_EQ(Held(1, column), "-") << column;
    EXPECT_EQ(Held(2, column), "berlin/cucm1") << column;
  }
  EXPECT_EQ(Ledger(1), "berlin adopted 0 0");
  EXPECT_THAT(Text("SELECT detail FROM audit_event WHERE action = 'adoption.lists'"), HasSubstr(R"("phones":"2")"));
  EXPECT_EQ(Adopted()[0].phones(), 2);
  EXPECT_EQ(Adopted()[1].phones(), 1);

  // What the phones say next is nothing new: the numbers are those that they were given.
  ASSERT_OK(Seed({Holding(1, HashOf(itl_), 1'795'000'005)}));
  EXPECT_EQ(Count("SELECT count(*) FROM phone_history WHERE device = 'SEP000000000001'"), 1);
  EXPECT_EQ(Ledger(1), "berlin adopted 0 5");

  // The same file of another origin that is this cluster's history is preferred, as it is for the next report.
  v1::AdoptListsRequest own = Lists("old", itl_, "cucm2");
  own.set_own(true);
  ASSERT_OK(Adopt(own));
  EXPECT_EQ(Held(1), "old/cucm2");
  ASSERT_OK(Seed({Holding(1, HashOf(itl_), 1'795'000'009)}));
  EXPECT_EQ(Count("SELECT count(*) FROM phone_history WHERE device = 'SEP000000000001'"), 1);
  EXPECT_EQ(Ledger(1), "old adopted 0 9");
}

TEST_F(AdoptionServiceTest, LedgersThatMeetBecomeOne) {
  ASSERT_OK(Seed({Holding(1, HashOf(itl_), 1'795'000'007), Holding(2, HashOf(itl_), 1'795'000'007)}));
  ASSERT_OK(Adopt(Lists("berlin", itl_)));
  // As somebody leaves it who stored reports that were resolved before: of one phone older, of the other newer.
  RunByHand(
      "INSERT INTO phone_held (cluster_id, device, holding_id, sha1, how, first_at, last_at) SELECT k.cluster_id, "
      "k.device, (SELECT holding_id FROM phone_holding WHERE adopted_id = 0 AND list_id = 0 AND kind = 'ITL'), k.sha1, "
      "k.how, k.first_at + s.first, k.last_at + s.last FROM phone_held k JOIN (VALUES ('SEP000000000001', interval "
      "'-5s', interval '-3s'), ('SEP000000000002', interval '5s', interval '8s')) AS s (device, first, last) USING "
      "(device)");
  ASSERT_OK(Adopt(Lists("berlin", itl_)));
  EXPECT_EQ(Ledger(1), "berlin adopted 2 7");
  EXPECT_EQ(Ledger(2), "berlin adopted 7 15");
}

TEST_F(AdoptionServiceTest, AListOfOursStaysOurs) {
  RunByHand(
      "INSERT INTO trust_list_policy (cluster_id, tftp_role, recovery_years, organization, organizational_unit) VALUES "
      "(1, 2, 20, 'Example', 'Voice'); INSERT INTO tftp_server (cluster_id, name, host, added_by) VALUES (1, 'cucm1', "
      "'cucm1.example', 'test'); INSERT INTO trust_list (cluster_id, kind, tftp_server, added_by) VALUES (1, 'ITL', "
      "'cucm1', 'test')");
  RunByHand(fmt::format(
      "INSERT INTO trust_list_generation (cluster_id, list_id, generation, file, sha1, md5, sha256, content_sha256, "
      "signer_sha256, digest, signer_version, records, reason, published_by) SELECT 1, list_id, 1, '', '\\x{}', "
      "decode(repeat('00', 16), 'hex'), decode(repeat('00', 32), 'hex'), decode(repeat('00', 32), 'hex'), "
      "decode(repeat('00', 32), 'hex'), 1, 0, 4, 'test', 'test' FROM trust_list",
      HashOf(itl_)));
  ASSERT_OK(Seed({Holding(1, HashOf(itl_))}));
  ASSERT_OK(Adopt(Lists("berlin", itl_)));
  EXPECT_EQ(Held(1), "-");
  EXPECT_EQ(Count("SELECT h.generation FROM phone p JOIN phone_holding h ON h.holding_id = p.holding_id WHERE device = "
                  "'SEP000000000001'"),
            1);
}

}  // namespace
}  // namespace trustline
