// TrustLists over real mutual TLS: servers, policy, devices, and what is read.
#include "itl/list/trust_list_service.h"

#include "itl/list/trust_list_service_testing.h"
#include "itl/trust_list/reader.h"
#include "tests/support/fake_clock.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr auto kDenied = absl::StatusCode::kPermissionDenied;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kNotFound = absl::StatusCode::kNotFound;
constexpr auto kRefused = absl::StatusCode::kFailedPrecondition;
constexpr char kPhone[] = "SEP001122334455";

TEST_F(TrustListServiceTest, TheFirstServerMakesTheClustersLists) {
  EXPECT_FALSE(Listed().has_policy());
  v1::AddTftpServerRequest request;
  request.set_name("tftp1");
  request.set_host("Tftp1.Example");
  request.set_tftp_role(v1::CERTIFICATE_ROLE_TFTP);
  request.set_recovery_years(10);
  request.set_organization("Acme");
  request.set_organizational_unit("Voice");
  v1::AddTftpServerResponse response;
  ASSERT_OK(Admin(&Stub::AddTftpServer, request, &response));
  EXPECT_TRUE(response.added());
  ASSERT_THAT(response.published().lists(), SizeIs(1));
  const v1::PublishResponse::List& made = response.published().lists(0);
  EXPECT_EQ(made.outcome(), v1::PublishResponse::OUTCOME_PUBLISHED);
  EXPECT_THAT(made.changes(), Contains(HasSubstr("added: TFTP CN=")));
  EXPECT_FALSE(made.list().has_candidate());
  EXPECT_EQ(made.list().file_name(), "ITLFile.tlv");
  EXPECT_EQ(made.list().current().number(), 1);
  EXPECT_EQ(made.list().current().published_by(), kTestActor);
  EXPECT_EQ(made.list().current().reason(), "a new TFTP server");
  EXPECT_EQ(made.list().current().records(), 3);

  const v1::ListTrustListsResponse listed = Listed();
  EXPECT_EQ(listed.policy().tftp_role(), v1::CERTIFICATE_ROLE_TFTP);
  EXPECT_EQ(listed.policy().recovery_years(), 10);
  EXPECT_EQ(listed.policy().organization(), "Acme");
  EXPECT_EQ(listed.policy().organizational_unit(), "Voice");
  EXPECT_EQ(listed.policy().digest(), v1::LIST_DIGEST_SHA1);
  EXPECT_EQ(listed.policy().signer_version(), v1::SIGNER_VERSION_1_0);
  EXPECT_FALSE(listed.policy().blank());
  ASSERT_THAT(listed.tftp_servers(), SizeIs(1));
  EXPECT_EQ(listed.tftp_servers(0).host(), "Tftp1.Example");
  EXPECT_EQ(listed.tftp_servers(0).added_by(), kTestActor);
  ASSERT_THAT(listed.signers(), SizeIs(2));
  EXPECT_EQ(listed.signers(0).tftp_server(), "");
  EXPECT_THAT(listed.signers(0).certificate().subject(), HasSubstr("CN=ITLRECOVERY-"));
  EXPECT_EQ(listed.signers(1).tftp_server(), "tftp1");
  ASSERT_THAT(listed.lists(), SizeIs(1));
  EXPECT_EQ(listed.lists(0).current().sha1(), made.list().current().sha1());
  EXPECT_THAT(listed.notices(), IsEmpty());

  // Once more, and another server that takes the policy that is there.
  ASSERT_OK(Admin(&Stub::AddTftpServer, request, &response));
  EXPECT_FALSE(response.added());
  EXPECT_EQ(Outcomes(response.published()), "unchanged");
  request.set_name("tftp2");
  request.clear_host();
  const auto differs = [&](auto change, const std::string& present) {
    v1::AddTftpServerRequest other = request;
    change(other);
    EXPECT_THAT(Admin(&Stub::AddTftpServer, other), StatusIs(kRefused, HasSubstr(present)));
  };
  differs([](auto& other) { other.set_tftp_role(v1::CERTIFICATE_ROLE_CCM_TFTP); }, "the role TFTP: leave it out, or");
  differs([](auto& other) { other.set_recovery_years(5); }, "ITLRecovery years 10");
  differs([](auto& other) { other.set_organization("Other"); }, "the organization ");
  differs([](auto& other) { other.set_organizational_unit("Other"); }, "the organizational unit ");
  EXPECT_THAT(Listed().tftp_servers(), SizeIs(1));
  request.clear_tftp_role();
  request.clear_recovery_years();
  ASSERT_OK(Admin(&Stub::AddTftpServer, request, &response));
  EXPECT_EQ(Outcomes(response.published()), "published");
  EXPECT_EQ(Listed().policy().tftp_role(), v1::CERTIFICATE_ROLE_TFTP);
  EXPECT_EQ(Listed().policy().recovery_years(), 10);
  EXPECT_EQ(Listed().tftp_servers(1).host(), "tftp2");
  EXPECT_THAT(Listed().signers(), SizeIs(3));
  EXPECT_EQ(Audited(), "itl.server.add itl.publish itl.server.add itl.publish");
  EXPECT_EQ(Text("SELECT string_agg(DISTINCT actor, ' ') FROM audit_event WHERE action LIKE 'itl.%'"), kTestActor);
}

TEST_F(TrustListServiceTest, TheFirstListIsWaitedFor) {
  RefuseTimes(2);
  AddServer("tftp1");
  EXPECT_EQ(Count("SELECT count(*) FROM trust_list_generation"), 1);
}

TEST_F(TrustListServiceTest, NamesOfServersAreThoseOfMachines) {
  v1::AddTftpServerRequest request;
  for (const std::string& name : {std::string(), std::string("Upper"), std::string("-x"), std::string("x-"),
                                  std::string("a b"), std::string("a/b"), std::string(64, 'a')}) {
    request.set_name(name);
    request.set_host("tftp.example");
    EXPECT_THAT(Admin(&Stub::AddTftpServer, request), StatusIs(kInvalid, HasSubstr("the name of a TFTP server")))
        << name;
  }
  request.set_name("tftp1");
  for (const std::string& host :
       {std::string("a b"), std::string("a,b"), std::string("http://a"), std::string(65, 'a')}) {
    request.set_host(host);
    EXPECT_THAT(Admin(&Stub::AddTftpServer, request), StatusIs(kInvalid, HasSubstr("a host is a DNS name"))) << host;
  }
  request.set_host("tftp1.example");
  for (const int years : {1, 20'000, -5}) {
    request.set_recovery_years(years);
    EXPECT_THAT(Admin(&Stub::AddTftpServer, request), StatusIs(kInvalid, HasSubstr("5, 10, 15 or 20 years"))) << years;
  }
  request.set_recovery_years(0);
  request.set_tftp_role(v1::CERTIFICATE_ROLE_TVS);
  EXPECT_THAT(Admin(&Stub::AddTftpServer, request), StatusIs(kInvalid, HasSubstr("CCM+TFTP or TFTP")));
  EXPECT_EQ(Count("SELECT count(*) FROM trust_list_policy"), 0);
  EXPECT_EQ(Audited(), "");
}

TEST_F(TrustListServiceTest, WithSeveralServersOneMustBeNamed) {
  AddServer("tftp1");
  v1::FetchGenerationRequest fetch;
  EXPECT_OK(Admin(&Stub::FetchGeneration, fetch));
  AddServer("tftp2");
  const auto several = StatusIs(kInvalid, HasSubstr("(--tftp-server): tftp1, tftp2"));
  EXPECT_THAT(Admin(&Stub::FetchGeneration, fetch), several);
  v1::SetDeviceListRequest device;
  device.set_device(kPhone);
  EXPECT_THAT(Admin(&Stub::SetDeviceList, device), several);
  v1::PublishSignedRequest signed_list;
  signed_list.set_reason("a test");
  EXPECT_THAT(Admin(&Stub::PublishSigned, signed_list), several);
  fetch.set_tftp_server("tftp2");
  v1::FetchGenerationResponse fetched;
  ASSERT_OK(Admin(&Stub::FetchGeneration, fetch, &fetched));
  EXPECT_EQ(fetched.generation().tftp_server(), "tftp2");
  fetch.set_tftp_server("tftp9");
  EXPECT_THAT(Admin(&Stub::FetchGeneration, fetch), StatusIs(kNotFound, HasSubstr("there are: tftp1, tftp2")));
}

TEST_F(TrustListServiceTest, AGenerationIsFetchedByNumberOrHash) {
  v1::FetchGenerationRequest fetch;
  EXPECT_THAT(Admin(&Stub::FetchGeneration, fetch), StatusIs(kRefused, HasSubstr("has no trust lists")));
  AddServer("tftp1");
  const v1::FetchGenerationResponse first = Fetched();
  EXPECT_EQ(first.file_name(), "ITLFile.tlv");
  EXPECT_TRUE(first.generation().is_current());
  EXPECT_EQ(first.generation().sha1(), AsText(Sha1(AsBytes(first.file()))));
  EXPECT_EQ(first.generation().size(), static_cast<int64_t>(first.file().size()));
  ASSERT_OK_AND_ASSIGN(const TrustList read, DecodeTrustList(AsBytes(first.file())));
  EXPECT_OK(VerifyTrustList(read));

  AddListed(MakeCertificate("tvs.example"));
  ASSERT_EQ(Generate(), "published");
  v1::FetchGenerationResponse fetched;
  for (const std::string& hash : {first.generation().sha1(), first.generation().md5(), first.generation().sha256()}) {
    fetch.set_hash(hash);
    ASSERT_OK(Admin(&Stub::FetchGeneration, fetch, &fetched));
    EXPECT_EQ(fetched.file(), first.file());
    EXPECT_FALSE(fetched.generation().is_current());
  }
  fetch.set_hash(std::string(32, 'x'));
  EXPECT_THAT(Admin(&Stub::FetchGeneration, fetch), StatusIs(kNotFound, HasSubstr("no trust list of this cluster")));
  fetch.set_hash("x");
  EXPECT_THAT(Admin(&Stub::FetchGeneration, fetch), StatusIs(kInvalid));
  fetch.clear_hash();
  fetch.set_number(1);
  ASSERT_OK(Admin(&Stub::FetchGeneration, fetch, &fetched));
  EXPECT_EQ(fetched.file(), first.file());
  fetch.set_number(9);
  EXPECT_THAT(Admin(&Stub::FetchGeneration, fetch), StatusIs(kNotFound, HasSubstr("no generation 9")));
  fetch.set_number(0);
  fetch.set_kind(v1::TRUST_LIST_KIND_CTL);
  EXPECT_THAT(Admin(&Stub::FetchGeneration, fetch), StatusIs(kNotFound, HasSubstr("trustctl ctl mixed-mode on")));
  fetch.set_kind(static_cast<v1::TrustListKind>(7));
  EXPECT_THAT(Admin(&Stub::FetchGeneration, fetch), StatusIs(kInvalid, HasSubstr("no kind of trust list")));
  fetch.clear_kind();
  fetch.set_device(kPhone);
  EXPECT_THAT(Admin(&Stub::FetchGeneration, fetch), StatusIs(kNotFound, HasSubstr("takes that of all phones")));
}

TEST_F(TrustListServiceTest, GenerationsComeInPages) {
  AddServer("tftp1");
  AddServer("tftp2");
  for (int i = 0; i < 2; ++i) {
    AddListed(MakeCertificate(fmt::format("tvs{}.example", i)));
    ASSERT_EQ(Generate(), "published published");
  }
  v1::ListGenerationsRequest request;
  request.set_page_size(4);
  v1::ListGenerationsResponse page;
  const auto texts = [&] {
    std::vector<std::string> all;
    for (const v1::Generation& generation : page.generations()) {
      all.push_back(
          fmt::format("{} {}{}", generation.tftp_server(), generation.number(), generation.is_current() ? "*" : ""));
    }
    return all;
  };
  ASSERT_OK(Admin(&Stub::ListGenerations, request, &page));
  EXPECT_THAT(texts(), ElementsAre("tftp1 3*", "tftp1 2", "tftp1 1", "tftp2 3*"));
  request.set_page_token(page.next_page_token());
  ASSERT_OK(Admin(&Stub::ListGenerations, request, &page));
  EXPECT_THAT(texts(), ElementsAre("tftp2 2", "tftp2 1"));
  EXPECT_EQ(page.next_page_token(), "");
  for (const char* token : {"nonsense", "1", "1 2 3", "a b"}) {
    request.set_page_token(token);
    EXPECT_THAT(Admin(&Stub::ListGenerations, request), StatusIs(kInvalid, HasSubstr("page token"))) << token;
  }
  request.clear_page_token();
  for (const int size : {-1, 1001}) {
    request.set_page_size(size);
    EXPECT_THAT(Admin(&Stub::ListGenerations, request), StatusIs(kInvalid, HasSubstr("1 to 1000"))) << size;
  }
  request.set_page_size(0);
  request.set_tftp_server("tftp2");
  ASSERT_OK(Admin(&Stub::ListGenerations, request, &page));
  EXPECT_THAT(page.generations(), SizeIs(3));
}

TEST_F(TrustListServiceTest, NewFormsComeWhenAllPhonesCanReadThem) {
  AddServer("tftp1");
  v1::ChangeTrustListPolicyRequest change;
  change.set_digest(v1::LIST_DIGEST_SHA512);
  // Nothing is known of phones that are not on record.
  EXPECT_THAT(Admin(&Stub::ChangeTrustListPolicy, change),
              StatusIs(kRefused, AllOf(HasSubstr("no phone is on record"), HasSubstr("trustctl device add"))));
  RunByHand(
      fmt::format("INSERT INTO device (cluster_id, name, model, added_by) VALUES (1, '{}', '8845', 'test')", kPhone));
  EXPECT_THAT(Admin(&Stub::ChangeTrustListPolicy, change),
              StatusIs(kRefused, HasSubstr(fmt::format(
                                     "1 of 1 devices in service are not recorded to read SHA-512 ({}): ", kPhone))));
  change.set_signer_version(v1::SIGNER_VERSION_1_1);
  EXPECT_THAT(
      Admin(&Stub::ChangeTrustListPolicy, change),
      StatusIs(kRefused, AllOf(HasSubstr("read SHA-512, 1 of 1 devices"), HasSubstr("read signer version 1.1 ("),
                               HasSubstr("--sha512 --signer-version-1.1`"))));
  v1::RecordReadingRequest able;
  able.set_model("8845");
  able.set_sha512(true);
  v1::RecordReadingResponse recorded;
  ASSERT_OK(Call(*Lists(operator_.files()), &Stub::RecordReading, able, recorded));
  EXPECT_EQ(recorded.devices(), 1);
  EXPECT_EQ(recorded.not_able_sha512(), 0);
  EXPECT_EQ(recorded.not_able_version_1_1(), 1);
  EXPECT_THAT(Admin(&Stub::ChangeTrustListPolicy, change), StatusIs(kRefused, HasSubstr("signer version 1.1")));
  EXPECT_EQ(Listed().policy().digest(), v1::LIST_DIGEST_SHA1);
  able.set_version_1_1(true);
  ASSERT_OK(Call(*Lists(operator_.files()), &Stub::RecordReading, able, recorded));
  v1::ChangeTrustListPolicyResponse changed;
  ASSERT_OK(Admin(&Stub::ChangeTrustListPolicy, change, &changed));
  EXPECT_EQ(changed.policy().digest(), v1::LIST_DIGEST_SHA512);
  EXPECT_EQ(changed.policy().signer_version(), v1::SIGNER_VERSION_1_1);

  // Nobody has approved it yet.
  EXPECT_EQ(Generate(), "waits");
  ASSERT_TRUE(Listed().lists(0).has_candidate());
  EXPECT_EQ(Listed().lists(0).candidate().state(), v1::CANDIDATE_STATE_WAITS_FOR_APPROVAL);
  EXPECT_THAT(Listed().lists(0).candidate().changes(),
              ElementsAre("digest: SHA-1 -> SHA-512", "signer-version: 1.0 -> 1.1"));
  EXPECT_THAT(Listed().notices(),
              ElementsAre(HasSubstr("the ITL of tftp1 has changes that wait for an administrator")));
  v1::PublishRequest publish;
  v1::PublishResponse published;
  ASSERT_OK(Admin(&Stub::Publish, publish, &published));
  EXPECT_EQ(Outcomes(published), "published");
  EXPECT_EQ(Fetched().generation().digest(), v1::LIST_DIGEST_SHA512);
  EXPECT_EQ(Audited(), "itl.server.add itl.publish itl.reading itl.reading itl.policy itl.publish");

  // A phone that came since and cannot read it is a matter of the form alone.
  RunByHand("INSERT INTO device (cluster_id, name, model, added_by) VALUES (1, 'SEP00AABBCCDDEE', '7960', 'test')");
  v1::ChangeTrustListPolicyRequest years;
  years.set_recovery_years(15);
  EXPECT_OK(Admin(&Stub::ChangeTrustListPolicy, years));
  EXPECT_THAT(Admin(&Stub::ChangeTrustListPolicy, change), StatusIs(kRefused, HasSubstr("1 of 2 devices")));
}

TEST_F(TrustListServiceTest, ThePolicyIsChangedInParts) {
  v1::ChangeTrustListPolicyRequest change;
  change.set_vendor_names(true);
  EXPECT_THAT(Admin(&Stub::ChangeTrustListPolicy, change), StatusIs(kRefused, HasSubstr("add a TFTP server first")));
  AddServer("tftp1");
  v1::ChangeTrustListPolicyResponse changed;
  ASSERT_OK(Admin(&Stub::ChangeTrustListPolicy, change, &changed));
  EXPECT_TRUE(changed.policy().vendor_names());
  EXPECT_EQ(changed.policy().recovery_years(), 20);
  change.Clear();
  change.set_recovery_years(15);
  change.set_tftp_role(v1::CERTIFICATE_ROLE_TFTP);
  // Whatever TTL an administrator gave to the certificate.
  RunByHand("UPDATE trust_entry SET ttl_seconds = 60");
  ASSERT_OK(Admin(&Stub::ChangeTrustListPolicy, change, &changed));
  EXPECT_TRUE(changed.policy().vendor_names());
  EXPECT_EQ(changed.policy().recovery_years(), 15);
  // TVS answers with the role that the lists will say.
  EXPECT_EQ(
      Text("SELECT string_agg(role::text, ' ' ORDER BY role) FROM trust_entry e JOIN list_signer s USING (sha256) "
           "WHERE s.tftp_server = 'tftp1' AND e.removed_at IS NULL"),
      "0 2 3");
  ASSERT_EQ(Generate(), "waits");
  EXPECT_THAT(Listed().lists(0).candidate().changes(), Contains(HasSubstr("role: CCM+TFTP CN=")));
  change.set_recovery_years(7);
  EXPECT_THAT(Admin(&Stub::ChangeTrustListPolicy, change), StatusIs(kInvalid, HasSubstr("5, 10, 15 or 20")));
  change.set_recovery_years(0);
  change.set_digest(static_cast<v1::ListDigest>(2));
  EXPECT_THAT(Admin(&Stub::ChangeTrustListPolicy, change), StatusIs(kInvalid));
  change.clear_digest();
  change.set_signer_version(static_cast<v1::SignerVersion>(9));
  EXPECT_THAT(Admin(&Stub::ChangeTrustListPolicy, change), StatusIs(kInvalid));
}

TEST_F(TrustListServiceTest, ADeviceGetsAListThatItCanRead) {
  AddServer("tftp1");
  v1::SetDeviceListRequest set;
  set.set_device("no phone");
  EXPECT_THAT(Admin(&Stub::SetDeviceList, set), StatusIs(kInvalid));
  set.set_device("sep001122334455");
  set.set_digest(v1::LIST_DIGEST_SHA512);
  EXPECT_THAT(Admin(&Stub::SetDeviceList, set),
              StatusIs(kRefused, AllOf(HasSubstr("SEP001122334455 is not recorded to read this"),
                                       HasSubstr("trustctl itl able --device SEP001122334455 --sha512`"))));
  EXPECT_EQ(Count("SELECT count(*) FROM trust_list"), 1);
  v1::RecordReadingRequest able;
  able.set_device(kPhone);
  able.set_sha512(true);
  ASSERT_OK(Admin(&Stub::RecordReading, able));
  v1::PublishResponse response;
  ASSERT_OK(Admin(&Stub::SetDeviceList, set, &response));
  ASSERT_EQ(Outcomes(response), "published");
  EXPECT_EQ(response.lists(0).list().device(), kPhone);
  EXPECT_EQ(response.lists(0).list().file_name(), "ITLSEP001122334455.tlv");
  const v1::FetchGenerationResponse fetched = Fetched(v1::TRUST_LIST_KIND_ITL, "sep001122334455");
  EXPECT_EQ(fetched.file_name(), "ITLSEP001122334455.tlv");
  EXPECT_EQ(fetched.generation().digest(), v1::LIST_DIGEST_SHA512);
  EXPECT_THAT(Listed().lists(), SizeIs(2));
  EXPECT_THAT(Listed(false).lists(), SizeIs(1));
  v1::ListGenerationsRequest history;
  history.set_device("sep001122334455");
  v1::ListGenerationsResponse generations;
  ASSERT_OK(Admin(&Stub::ListGenerations, history, &generations));
  EXPECT_THAT(generations.generations(), SizeIs(1));

  set.set_remove(true);
  ASSERT_OK(Admin(&Stub::SetDeviceList, set));
  EXPECT_THAT(Listed().lists(), SizeIs(1));
  EXPECT_THAT(Admin(&Stub::SetDeviceList, set), StatusIs(kNotFound, HasSubstr("no trust list of its own")));
  EXPECT_EQ(Audited(), "itl.server.add itl.publish itl.reading itl.device.set itl.publish itl.device.remove");
}

TEST_F(TrustListServiceTest, ARemovedServerLeavesItsHistory) {
  AddServer("tftp1");
  AddServer("tftp2");
  v1::RemoveTftpServerRequest remove;
  remove.set_name("tftp2");
  EXPECT_THAT(Admin(&Stub::RemoveTftpServer, remove), StatusIs(kInvalid, HasSubstr("--reason")));
  remove.set_reason("gone");
  // Lists that name all servers are to be compared anew when one goes or comes.
  const char* const considered = "SELECT considered_commit FROM trust_list_policy";
  ASSERT_EQ(Generate(), "unchanged unchanged");
  ASSERT_NE(Count(considered), -1);
  ASSERT_OK(Admin(&Stub::RemoveTftpServer, remove));
  EXPECT_EQ(Count(considered), -1);
  EXPECT_THAT(Admin(&Stub::RemoveTftpServer, remove), StatusIs(kNotFound, HasSubstr("tftp2")));
  EXPECT_THAT(Listed().lists(), SizeIs(1));
  EXPECT_THAT(Listed().tftp_servers(), SizeIs(1));
  v1::ListGenerationsResponse page;
  ASSERT_OK(Admin(&Stub::ListGenerations, v1::ListGenerationsRequest(), &page));
  EXPECT_THAT(page.generations(), SizeIs(2));
  EXPECT_EQ(Audited(), "itl.server.add itl.publish itl.server.add itl.publish itl.server.remove");
  // It comes again with the key and the list that it had.
  ASSERT_EQ(Generate(), "unchanged");
  v1::AddTftpServerRequest add;
  add.set_name("tftp2");
  add.set_host("tftp2.example");
  v1::AddTftpServerResponse response;
  ASSERT_OK(Admin(&Stub::AddTftpServer, add, &response));
  EXPECT_TRUE(response.added());
  EXPECT_EQ(Outcomes(response.published()), "unchanged");
  EXPECT_EQ(Count(considered), -1);
  EXPECT_EQ(Count("SELECT count(*) FROM list_signer"), 3);

  // With another host it needs another certificate, which is its phones' administrator's to look at.
  const Certificate before = Signer("tftp2");
  ASSERT_OK(Admin(&Stub::RemoveTftpServer, remove));
  add.set_host("moved.example");
  ASSERT_OK(Admin(&Stub::AddTftpServer, add, &response));
  EXPECT_NE(Signer("tftp2"), before);
  EXPECT_THAT(Signer("tftp2").dns_names(), Contains("moved.example"));
  EXPECT_EQ(Outcomes(response.published()), "waits");
}

TEST_F(TrustListServiceTest, AnExpiredServersCertificateIsReplacedWhenItComesAgain) {
  AddServer("tftp1");
  AddServer("tftp2");
  const Certificate before = Signer("tftp2");
  const FakeClock later(before.not_after());
  Serve(publisher_.get(), keys_.get(), later);
  v1::RemoveTftpServerRequest remove;
  remove.set_name("tftp2");
  remove.set_reason("expired");
  ASSERT_OK(Admin(&Stub::RemoveTftpServer, remove));
  v1::AddTftpServerRequest add;
  add.set_name("tftp2");
  add.set_host("tftp2.example");
  ASSERT_OK(Admin(&Stub::AddTftpServer, add));
  EXPECT_GT(Signer("tftp2").not_after(), before.not_after());
}

TEST_F(TrustListServiceTest, AnItldWithoutKeysReadsOnly) {
  AddServer("tftp1");
  Serve(nullptr, nullptr);
  EXPECT_THAT(Listed().lists(), SizeIs(1));
  EXPECT_EQ(Fetched().generation().number(), 1);
  v1::AddTftpServerRequest add;
  add.set_name("tftp2");
  const auto refused = StatusIs(kRefused, AllOf(HasSubstr("keeps no keys of trust lists"), HasSubstr("[trust_lists]")));
  EXPECT_THAT(Admin(&Stub::AddTftpServer, add), refused);
  EXPECT_THAT(Admin(&Stub::Generate, v1::GenerateRequest()), refused);
  EXPECT_THAT(Admin(&Stub::ExportRecovery, v1::ExportRecoveryRequest()), refused);
  EXPECT_THAT(Admin(&Stub::RecordReading, v1::RecordReadingRequest()), refused);
  // Who may not is told so first.
  v1::PublishResponse response;
  EXPECT_THAT(Call(*Lists(viewer_.files()), &Stub::Generate, v1::GenerateRequest(), response), StatusIs(kDenied));
}

TEST_F(TrustListServiceTest, WhoMayNotIsDenied) {
  // "ListTrustLists": what came of it for this caller.
  const auto denied_for = [&](const IdentityFiles& files, absl::StatusCode code) {
    std::vector<std::string> denied;
    const auto stub = Lists(files);
    const auto attempt = [&](const char* name, auto method, const auto& request, auto response) {
      if (Call(*stub, method, request, response).code() == code) denied.emplace_back(name);
    };
    attempt("ListTrustLists", &Stub::ListTrustLists, v1::ListTrustListsRequest(), v1::ListTrustListsResponse());
    attempt("ListGenerations", &Stub::ListGenerations, v1::ListGenerationsRequest(), v1::ListGenerationsResponse());
    attempt("FetchGeneration", &Stub::FetchGeneration, v1::FetchGenerationRequest(), v1::FetchGenerationResponse());
    attempt("RecordReading", &Stub::RecordReading, v1::RecordReadingRequest(), v1::RecordReadingResponse());
    attempt("Generate", &Stub::Generate, v1::GenerateRequest(), v1::PublishResponse());
    attempt("AddTftpServer", &Stub::AddTftpServer, v1::AddTftpServerRequest(), v1::AddTftpServerResponse());
    attempt("RemoveTftpServer", &Stub::RemoveTftpServer, v1::RemoveTftpServerRequest(), v1::RemoveTftpServerResponse());
    attempt("ChangeTrustListPolicy", &Stub::ChangeTrustListPolicy, v1::ChangeTrustListPolicyRequest(),
            v1::ChangeTrustListPolicyResponse());
    attempt("SetDeviceList", &Stub::SetDeviceList, v1::SetDeviceListRequest(), v1::PublishResponse());
    attempt("Publish", &Stub::Publish, v1::PublishRequest(), v1::PublishResponse());
    attempt("SetMixedMode", &Stub::SetMixedMode, v1::SetMixedModeRequest(), v1::PublishResponse());
    attempt("SetBlank", &Stub::SetBlank, v1::SetBlankRequest(), v1::PublishResponse());
    attempt("ResetWithLocalKey", &Stub::ResetWithLocalKey, v1::ResetWithLocalKeyRequest(), v1::PublishResponse());
    attempt("PublishSigned", &Stub::PublishSigned, v1::PublishSignedRequest(), v1::PublishResponse());
    attempt("ExportRecovery", &Stub::ExportRecovery, v1::ExportRecoveryRequest(), v1::ExportRecoveryResponse());
    attempt("ReplaceRecovery", &Stub::ReplaceRecovery, v1::ReplaceRecoveryRequest(), v1::ReplaceRecoveryResponse());
    return denied;
  };
  EXPECT_THAT(denied_for(Nobody(), absl::StatusCode::kUnauthenticated), SizeIs(16));
  EXPECT_THAT(denied_for(cad_.files(), kDenied), SizeIs(16));
  const std::vector<std::string> changes = denied_for(viewer_.files(), kDenied);
  EXPECT_THAT(changes, SizeIs(13));
  EXPECT_EQ(denied_for(auditor_.files(), kDenied), changes);
  EXPECT_EQ(denied_for(operator_.files(), kDenied), std::vector<std::string>(changes.begin() + 2, changes.end()));
  EXPECT_THAT(denied_for(admin_.files(), kDenied), IsEmpty());
}

}  // namespace
}  // namespace trustline
