#include "itl/phone/phone_trust_service.h"

#include <thread>

#include "gmock/gmock.h"
#include "itl/itl_services_testing.h"
#include "itl/phone/publication_review.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using Stub = v1::PhoneTrust::Stub;

class PhoneTrustServiceTest : public ItlServicesTest {
 protected:
  void SetUp() override {
    ItlServicesTest::SetUp();
    PoolOptions options;
    options.connection.conninfo = database_->Conninfo("trustline_itld");
    ASSERT_OK_AND_ASSIGN(report_pool_, Pool::Create(options));
    holdings_ = std::make_unique<HoldingStore>(*report_pool_);
    ASSERT_OK_AND_ASSIGN(service_, PhoneTrustService::Create({.authorizer = *authorizer_,
                                                              .pool = *pool_,
                                                              .report_pool = *report_pool_,
                                                              .holdings = *holdings_,
                                                              .clock = clock_,
                                                              .metrics = metrics_,
                                                              .lists = lists_}));
    ASSERT_OK_AND_ASSIGN(phone_server_,
                         RpcServer::Start({.identity = itld_identity_.files()}, {service_.get()}, health_));
    RunByHand(
        "INSERT INTO trust_list_policy (cluster_id, tftp_role, recovery_years, organization, organizational_unit) "
        "VALUES "
        "(1, 2, 20, 'Example', 'Voice');"
        "INSERT INTO tftp_server (cluster_id, name, host, added_by) VALUES (1, 'node1', 'node1.example', 'test');"
        "INSERT INTO trust_list (cluster_id, kind, tftp_server, added_by, generation) VALUES (1, 'ITL', 'node1', "
        "'test', "
        "2);"
        "INSERT INTO trust_list_generation (cluster_id, list_id, generation, file, sha1, md5, sha256, content_sha256, "
        "signer_sha256, digest, signer_version, records, reason, published_by) SELECT 1, 1, n, '', "
        "decode(repeat('1' || n, 20), 'hex'), decode(repeat('00', 16), 'hex'), decode(repeat('00', 32), 'hex'), "
        "decode(repeat('00', 32), 'hex'), decode(repeat('00', 32), 'hex'), 1, 0, 4, 'test', 'test' FROM "
        "generate_series(1, 2) AS n;"
        "INSERT INTO device (cluster_id, name, model, site, added_by) SELECT 1, 'SEP' || lpad(n::text, 12, '0'), "
        "'8841', "
        "'Berlin', 'test' FROM generate_series(1, 5) AS n");
  }
  void TearDown() override {
    service_->Stop();
    phone_server_->Shutdown(absl::ZeroDuration());
    ItlServicesTest::TearDown();
  }

  std::unique_ptr<Stub> Phones(const IdentityFiles& files) {
    const auto channel = OpenChannel(fmt::format("127.0.0.1:{}", phone_server_->port()), files, "itld");
    EXPECT_OK(channel);
    return v1::PhoneTrust::NewStub(*channel);
  }
  template <typename Request, typename Response>
  absl::Status Ask(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                   const Request& request, Response& response) {
    return Call(*Phones(admin_.files()), method, request, response);
  }

  static std::string Device(int number) { return fmt::format("SEP{:012}", number); }
  static v1::PhoneReport Report(int device, const std::string& pair) {
    v1::PhoneReport report;
    report.set_device(Device(device));
    report.set_event(v1::PhoneReport::EVENT_LISTS);
    for (int i = 0; i < 20; ++i) report.mutable_itl_signature()->append(pair + " ");
    report.set_itl_tftp_server("node1.example");
    report.set_basis(v1::REPORT_BASIS_FORWARDER);
    report.set_source("192.0.2.9");
    return report;
  }
  struct Sent {
    absl::Status status;
    std::vector<v1::ReportPhoneTrustResponse> responses;
  };
  Sent Send(const IdentityFiles& files, const std::vector<std::vector<v1::PhoneReport>>& requests,
            const std::string& cluster = "default") {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(30)));
    const auto stub = Phones(files);
    const auto stream = stub->ReportPhoneTrust(&context);
    Sent sent;
    for (const std::vector<v1::PhoneReport>& reports : requests) {
      v1::ReportPhoneTrustRequest request;
      request.set_cluster(cluster);
      for (const v1::PhoneReport& report : reports) *request.add_reports() = report;
      if (!stream->Write(request)) break;
      v1::ReportPhoneTrustResponse response;
      if (!stream->Read(&response)) break;
      sent.responses.push_back(response);
    }
    stream->WritesDone();
    sent.status = ToAbsl(stream->Finish());
    return sent;
  }
  std::vector<std::string> Listed(v1::ListPhonesRequest request) {
    std::vector<std::string> rows;
    while (true) {
      v1::ListPhonesResponse page;
      EXPECT_OK(Ask(&Stub::ListPhones, request, page));
      for (const v1::Phone& phone : page.phones()) {
        rows.push_back(fmt::format("{} {} {}{}", phone.device(), v1::PhoneStatus_Name(phone.itl().status()).substr(13),
                                   phone.itl().generation(), phone.claimed_from().empty() ? "" : " claim"));
      }
      if (page.next_page_token().empty()) return rows;
      request.set_page_token(page.next_page_token());
    }
  }

  const TestIdentity provisiond_{authority_, "trustline:default/provisiond/node1"};
  const TestIdentity tvsd_{authority_, "trustline:default/tvsd/node1"};
  std::unique_ptr<Pool> report_pool_;
  std::unique_ptr<HoldingStore> holdings_;
  ListMemory lists_;
  std::unique_ptr<PhoneTrustService> service_;
  std::unique_ptr<RpcServer> phone_server_;
};

TEST_F(PhoneTrustServiceTest, ReportsAreStoredBeforeTheyAreAnswered) {
  v1::PhoneReport broken = Report(3, "12");
  broken.set_device("printer");
  v1::PhoneReport claim = Report(9, "12");
  claim.set_basis(v1::REPORT_BASIS_NONE);
  const Sent sent = Send(provisiond_.files(), {{Report(1, "12"), broken, Report(2, "11")}, {claim}});
  ASSERT_OK(sent.status);
  ASSERT_THAT(sent.responses, SizeIs(2));
  EXPECT_EQ(sent.responses[0].evidence(), 2);
  ASSERT_THAT(sent.responses[0].problems(), SizeIs(1));
  EXPECT_EQ(sent.responses[0].problems(0).index(), 1);
  EXPECT_THAT(sent.responses[0].problems(0).reason(), HasSubstr("printer"));
  EXPECT_EQ(sent.responses[1].claims(), 1);
  EXPECT_THAT(Listed({}),
              ElementsAre("SEP000000000001 MATCH 2", "SEP000000000002 MISMATCH 1", "SEP000000000003 UNKNOWN 0",
                          "SEP000000000004 UNKNOWN 0", "SEP000000000005 UNKNOWN 0", "SEP000000000009 MATCH 2 claim"));
  EXPECT_THAT(metrics_.Serialize(), HasSubstr("trustline_phone_reports_total{kind=\"evidence\"} 2"));
  EXPECT_THAT(metrics_.Serialize(), HasSubstr("trustline_phone_reports_total{kind=\"unusable\"} 1"));
}

TEST_F(PhoneTrustServiceTest, EveryPageSizeGivesTheSame) {
  std::vector<v1::PhoneReport> claims;
  for (int i = 1; i <= 4; ++i) {
    claims.push_back(Report(i + 3, "11"));
    claims.back().set_basis(v1::REPORT_BASIS_NONE);
  }
  ASSERT_OK(Send(provisiond_.files(), {{Report(1, "12"), Report(2, "11")}, claims}).status);
  const std::vector<std::string> all = Listed({});
  EXPECT_THAT(all, SizeIs(9));
  for (int size = 1; size <= 10; ++size) {
    v1::ListPhonesRequest request;
    request.set_page_size(size);
    EXPECT_EQ(Listed(request), all) << size;
  }
  v1::ListPhonesRequest evidence;
  evidence.mutable_filter()->set_evidence_only(true);
  EXPECT_THAT(Listed(evidence), ElementsAre("SEP000000000001 MATCH 2", "SEP000000000002 MISMATCH 1"));
  v1::ListPhonesRequest model;
  model.mutable_filter()->set_model("8841");
  model.mutable_filter()->add_statuses(v1::PHONE_STATUS_MISMATCH);
  EXPECT_THAT(Listed(model), ElementsAre("SEP000000000002 MISMATCH 1", "SEP000000000004 MISMATCH 1 claim",
                                         "SEP000000000005 MISMATCH 1 claim"));
  v1::ListPhonesRequest wrong;
  wrong.set_page_token("x");
  v1::ListPhonesResponse page;
  EXPECT_EQ(Ask(&Stub::ListPhones, wrong, page).code(), absl::StatusCode::kInvalidArgument);
  wrong.set_page_token("");
  wrong.set_page_size(1001);
  EXPECT_EQ(Ask(&Stub::ListPhones, wrong, page).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(PhoneTrustServiceTest, WhoMayReport) {
  EXPECT_EQ(Send(viewer_.files(), {{Report(1, "12")}}).status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Send(tvsd_.files(), {{Report(1, "12")}}).status.code(), absl::StatusCode::kPermissionDenied);
  v1::PhoneReport claim = Report(1, "12");
  claim.set_basis(v1::REPORT_BASIS_NONE);
  const Sent sent = Send(admin_.files(), {{claim}});
  ASSERT_OK(sent.status);
  EXPECT_EQ(sent.responses[0].evidence(), 1) << "a person with an identity speaks for itself";
  v1::ShowPhoneRequest request;
  request.set_device("sep000000000001");
  v1::ShowPhoneResponse shown;
  ASSERT_OK(Ask(&Stub::ShowPhone, request, shown));
  EXPECT_EQ(shown.phone().via(), "trustline:default/person/admin");
  EXPECT_THAT(shown.ledger(), SizeIs(1));
  const std::vector<v1::PhoneReport> many(1001, Report(1, "12"));
  EXPECT_EQ(Send(provisiond_.files(), {many}).status.code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(PhoneTrustServiceTest, SummaryHistoryAndAdoption) {
  v1::PhoneReport leaves = Report(2, "11");
  leaves.set_event(v1::PhoneReport::EVENT_UNREGISTERED);
  ASSERT_OK(Send(provisiond_.files(), {{Report(1, "12"), Report(2, "11")}, {leaves}}).status);
  v1::SummarizePhonesRequest request;
  v1::SummarizePhonesResponse summary;
  ASSERT_OK(Ask(&Stub::SummarizePhones, request, summary));
  EXPECT_EQ(summary.phones(), 5);
  EXPECT_EQ(summary.statuses(0).phones(), 1);
  EXPECT_EQ(summary.statuses(3).phones(), 4);
  request.set_tftp_server("node1");
  ASSERT_OK(Ask(&Stub::SummarizePhones, request, summary));
  EXPECT_EQ(summary.phones(), 1);

  // A server with two names is one line.
  v1::PhoneReport by_name = Report(3, "12");
  by_name.set_itl_tftp_server("node1");
  ASSERT_OK(Send(provisiond_.files(), {{by_name}}).status);
  ASSERT_OK(Ask(&Stub::SummarizePhones, request, summary));
  ASSERT_THAT(summary.held(), SizeIs(1));
  EXPECT_EQ(summary.held(0).phones(), 2);
  EXPECT_EQ(summary.held(0).held().server(), "node1");

  v1::ListPhoneHistoryRequest past;
  past.set_device(Device(2));
  past.set_page_size(1);
  std::vector<std::string> events;
  do {
    v1::ListPhoneHistoryResponse page;
    ASSERT_OK(Ask(&Stub::ListPhoneHistory, past, page));
    for (const v1::PhoneEvent& event : page.events()) events.push_back(event.event());
    past.set_page_token(page.next_page_token());
  } while (!past.page_token().empty());
  EXPECT_THAT(events, ElementsAre("unregistered", "reported"));

  v1::ListAdoptionRequest adoption;
  adoption.set_points(3);
  v1::ListAdoptionResponse curve;
  ASSERT_OK(Ask(&Stub::ListAdoption, adoption, curve));
  ASSERT_THAT(curve.points(), SizeIs(3));
  EXPECT_EQ(curve.points(0).phones(), 0);
  EXPECT_EQ(curve.points(2).phones(), 5);
}

TEST_F(PhoneTrustServiceTest, WatchersSeeWhatIsStored) {
  grpc::ClientContext context;
  v1::WatchPhonesRequest request;
  request.mutable_filter()->add_statuses(v1::PHONE_STATUS_MISMATCH);
  const auto stub = Phones(viewer_.files());
  const auto watch = stub->WatchPhones(&context, request);
  watch->WaitForInitialMetadata();
  ASSERT_OK(Send(provisiond_.files(), {{Report(1, "12"), Report(2, "11")}}).status);
  v1::WatchPhonesResponse seen;
  ASSERT_TRUE(watch->Read(&seen));
  EXPECT_EQ(seen.phone().device(), Device(2));
  EXPECT_EQ(seen.event(), "reported");
  EXPECT_EQ(seen.phone().site(), "Berlin");
  service_->Stop();
  EXPECT_FALSE(watch->Read(&seen));
  EXPECT_EQ(watch->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(PhoneTrustServiceTest, WhyIsOneAnswer) {
  v1::PhoneReport claim = Report(1, "11");
  claim.set_basis(v1::REPORT_BASIS_NONE);
  claim.set_source("203.0.113.5");
  ASSERT_OK(Send(provisiond_.files(), {{Report(1, "11")}, {claim}}).status);
  v1::ExplainPhoneRequest request;
  request.set_device(Device(1));
  v1::ExplainPhoneResponse why;
  ASSERT_OK(Ask(&Stub::ExplainPhone, request, why));
  EXPECT_EQ(why.verdict(),
            "It holds generation 1 of node1, from the TFTP server node1.example; generation 2 is served.");
  EXPECT_THAT(why.next_step(), HasSubstr("it refuses that list"));
  std::string subjects;
  for (const auto& fact : why.facts()) subjects += fact.subject() + "; ";
  for (const char* subject : {"report", "ledger", "claim", "LSC", "list offered", "device", "TVS reach"}) {
    EXPECT_THAT(subjects, HasSubstr(subject));
  }
  // The others' sites and their own phones are none of its business.
  RunByHand(
      "INSERT INTO tvs_reach (cluster_id, site, device, node, last_at) VALUES (1, 'Berlin', '', 'node1', now()), "
      "(1, 'Berlin', '', 'node2', now() - interval '31 days'), (1, 'Bremen', '', 'node3', now()), "
      "(1, '', 'SEP000000000001', 'node4', now())");
  ASSERT_OK(Ask(&Stub::ExplainPhone, request, why));
  std::vector<std::string> reach;
  for (const auto& fact : why.facts()) {
    if (fact.subject() == "TVS reach") reach.push_back(fact.sentence());
  }
  EXPECT_THAT(reach,
              ElementsAre("a phone of its site Berlin asked node1 from its own address",
                          "a phone of its site Berlin asked node2 from its own address; too long ago to count as "
                          "a way"));
  request.set_device(Device(2));
  ASSERT_OK(Ask(&Stub::ExplainPhone, request, why));
  EXPECT_EQ(why.verdict(), "Nothing was reported of it yet.");
  request.set_device(Device(77));
  EXPECT_EQ(Ask(&Stub::ExplainPhone, request, why).code(), absl::StatusCode::kNotFound);
}

TEST_F(PhoneTrustServiceTest, Forwarders) {
  v1::ListForwardersRequest list;
  v1::ListForwardersResponse listed;
  ASSERT_OK(Ask(&Stub::ListForwarders, list, listed));
  ASSERT_THAT(listed.forwarders(), SizeIs(2)) << "loopback is one on a fresh system";
  EXPECT_TRUE(listed.forwarders(0).udp());
  EXPECT_TRUE(listed.accept_claims());

  v1::PutForwarderRequest put;
  v1::PutForwarderResponse response;
  put.set_name("192.0.2.9");
  put.add_requests("refer");
  ASSERT_OK(Ask(&Stub::PutForwarder, put, response));
  EXPECT_TRUE(response.added());
  EXPECT_TRUE(response.forwarder().is_network());
  EXPECT_THAT(response.forwarder().requests(), ElementsAre("REFER"));
  put.set_udp(true);
  ASSERT_OK(Ask(&Stub::PutForwarder, put, response));
  EXPECT_FALSE(response.added());
  put.set_name("kamailio.example");
  EXPECT_THAT(Ask(&Stub::PutForwarder, put, response).ToString(), HasSubstr("leave out --udp"));
  put.set_udp(false);
  ASSERT_OK(Ask(&Stub::PutForwarder, put, response));
  EXPECT_FALSE(response.forwarder().is_network());
  for (const char* wrong : {"", "192.0.2.9/24", "0.0.0.0/0", "::/0", "a/b"}) {
    put.set_name(wrong);
    EXPECT_EQ(Ask(&Stub::PutForwarder, put, response).code(), absl::StatusCode::kInvalidArgument) << wrong;
  }
  put.set_name("192.0.2.10");
  put.set_requests(0, "INVITE");
  EXPECT_THAT(Ask(&Stub::PutForwarder, put, response).ToString(), HasSubstr("REFER, REGISTER, OPTIONS"));

  v1::RemoveForwarderRequest remove;
  v1::RemoveForwarderResponse removed;
  remove.set_name("192.0.2.9");
  ASSERT_OK(Ask(&Stub::RemoveForwarder, remove, removed));
  EXPECT_EQ(Ask(&Stub::RemoveForwarder, remove, removed).code(), absl::StatusCode::kNotFound);
  v1::SetClaimPolicyRequest policy;
  v1::SetClaimPolicyResponse changed;
  ASSERT_OK(Ask(&Stub::SetClaimPolicy, policy, changed));
  EXPECT_TRUE(changed.changed());
  ASSERT_OK(Ask(&Stub::SetClaimPolicy, policy, changed));
  EXPECT_FALSE(changed.changed());
  ASSERT_OK(Ask(&Stub::ListForwarders, list, listed));
  EXPECT_FALSE(listed.accept_claims());
  EXPECT_EQ(Text("SELECT string_agg(action, ' ' ORDER BY event_id) FROM audit_event WHERE action LIKE 'forwarder%' OR "
                 "action LIKE 'phone%'"),
            "forwarder.add forwarder.change forwarder.add forwarder.remove phone.claims");
}

TEST_F(PhoneTrustServiceTest, ModelsWithoutTrustLists) {
  RunByHand(
      "INSERT INTO device (cluster_id, name, model, added_by) SELECT 1, 'ATA' || lpad(n::text, 12, '0'), CASE WHEN n = "
      "9 THEN '' ELSE 'ATA 191' END, 'test' FROM generate_series(1, 9) AS n");
  const auto listed = [&] {
    v1::ListModelListsResponse response;
    EXPECT_OK(Ask(&Stub::ListModelLists, v1::ListModelListsRequest(), response));
    std::vector<std::string> models;
    for (const auto& model : response.models()) {
      models.push_back(fmt::format("{} {}{}{}", model.model(), model.phones(), model.has_no_lists() ? " none" : "",
                                   model.has_set_at() ? " by " + model.set_by() : ""));
    }
    EXPECT_EQ(response.not_listed(), 0);
    return models;
  };
  EXPECT_THAT(listed(), ElementsAre("ATA 191 8", "8841 5"));
  v1::SetModelListsRequest request;
  v1::SetModelListsResponse response;
  const auto set = [&](const std::string& model, bool has_no_lists) {
    request.set_model(model);
    request.set_has_no_lists(has_no_lists);
    EXPECT_OK(Ask(&Stub::SetModelLists, request, response));
    return fmt::format("{} {}", response.phones(), response.changed());
  };
  EXPECT_EQ(set("8841", true), "5 true");
  EXPECT_EQ(set("8841", true), "5 false");
  EXPECT_EQ(set("VG310", true), "0 true");
  EXPECT_EQ(set("ata 191", false), "0 false");
  const std::string by = " none by trustline:default/person/admin";
  EXPECT_THAT(listed(), ElementsAre("8841 5" + by, "VG310 0" + by, "ATA 191 8"));
  EXPECT_EQ(set("8841", false), "5 true");
  EXPECT_THAT(listed(), ElementsAre("VG310 0" + by, "ATA 191 8", "8841 5"));
  EXPECT_EQ(Text("SELECT string_agg(subject || ' ' || (detail::jsonb ->> 'lists') || ' ' || (detail::jsonb ->> "
                 "'phones'), ', ' "
                 "ORDER BY event_id) FROM audit_event WHERE action = 'model.lists'"),
            "8841 none 5, VG310 none 0, 8841 known 5");
  for (const std::string& wrong : {std::string(), std::string(201, 'x'), std::string("a\nb")}) {
    request.set_model(wrong);
    EXPECT_THAT(Ask(&Stub::SetModelLists, request, response),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("trustctl phones models list")));
  }
  request.set_model("8841");
  EXPECT_THAT(Call(*Phones(viewer_.files()), &Stub::SetModelLists, request, response),
              StatusIs(absl::StatusCode::kPermissionDenied));
  v1::ListModelListsResponse seen;
  EXPECT_OK(Call(*Phones(viewer_.files()), &Stub::ListModelLists, v1::ListModelListsRequest(), seen));
}

TEST_F(PhoneTrustServiceTest, NamesOfServers) {
  ASSERT_OK(Send(provisiond_.files(), {{Report(1, "77")}}).status);
  v1::PhoneReport foreign = Report(2, "77");
  foreign.set_itl_tftp_server("10.0.0.5");
  ASSERT_OK(Send(provisiond_.files(), {{foreign}}).status);
  RunByHand("INSERT INTO tftp_server (cluster_id, name, host, added_by) VALUES (1, 'node2', 'node2.example', 'test')");
  v1::ChangeServerNamesRequest request;
  v1::ChangeServerNamesResponse response;
  request.set_tftp_server("node1");
  request.add_add("10.0.0.5");
  request.add_add("TFTP.Example");
  request.add_add("node1.example");
  ASSERT_OK(Ask(&Stub::ChangeServerNames, request, response));
  EXPECT_TRUE(response.changed());
  EXPECT_THAT(response.names(), ElementsAre("10.0.0.5", "tftp.example"));
  ASSERT_OK(Ask(&Stub::ChangeServerNames, request, response));
  EXPECT_FALSE(response.changed());
  v1::ListPhonesRequest mismatch;
  mismatch.mutable_filter()->add_statuses(v1::PHONE_STATUS_MISMATCH);
  EXPECT_THAT(Listed(mismatch), SizeIs(2));
  request.set_tftp_server("node2");
  EXPECT_EQ(Ask(&Stub::ChangeServerNames, request, response).code(), absl::StatusCode::kAlreadyExists);
  request.set_tftp_server("node3");
  EXPECT_EQ(Ask(&Stub::ChangeServerNames, request, response).code(), absl::StatusCode::kNotFound);
  request.set_tftp_server("node1");
  request.clear_add();
  request.add_add("a b");
  EXPECT_EQ(Ask(&Stub::ChangeServerNames, request, response).code(), absl::StatusCode::kInvalidArgument);
  request.clear_add();
  request.add_remove("10.0.0.5");
  ASSERT_OK(Ask(&Stub::ChangeServerNames, request, response));
  EXPECT_THAT(response.names(), ElementsAre("tftp.example"));
}

}  // namespace
}  // namespace trustline
