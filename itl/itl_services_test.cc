// Every service of itld over real mutual TLS, as its clients see it.
#include "common/bytes/bytes.h"
#include "itl/itl_services_testing.h"
#include "tests/support/tvs_form.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr auto kDenied = absl::StatusCode::kPermissionDenied;
constexpr auto kUnauthenticated = absl::StatusCode::kUnauthenticated;

TEST_F(ItlServicesTest, TrustStoreIsChangedAndRead) {
  const auto stub = As<v1::TrustStore>(admin_.files());
  const std::vector<Certificate> certificates = {MakeCertificate("a.example"), MakeCertificate("b.example"),
                                                 MakeCertificate("c.example")};
  const AddOutcome added = Add(*stub, {Options(v1::CERTIFICATE_ROLE_APP_SERVER, 3),
                                       Batch({certificates[0], certificates[1]}), Batch({certificates[2]})});
  ASSERT_OK(added.status);
  EXPECT_THAT(added.progress, ElementsAre(2, 3));
  EXPECT_EQ(added.result.commit(), 1);
  EXPECT_EQ(added.result.certificates_added(), 3);
  ASSERT_THAT(added.result.certificates(), SizeIs(3));
  EXPECT_EQ(added.result.certificates(0).entries(0).role(), v1::CERTIFICATE_ROLE_APP_SERVER);
  EXPECT_EQ(added.result.certificates(0).entries(0).ttl().seconds(), 86400);
  EXPECT_EQ(added.result.certificates(0).entries(0).added_by(), kTestActor);

  // Pages.
  v1::ListRequest list;
  list.set_page_size(2);
  v1::ListResponse first_page;
  ASSERT_OK(Call(*stub, &v1::TrustStore::Stub::List, list, first_page));
  EXPECT_THAT(first_page.certificates(), SizeIs(2));
  list.set_page_token(first_page.next_page_token());
  v1::ListResponse last_page;
  ASSERT_OK(Call(*stub, &v1::TrustStore::Stub::List, list, last_page));
  EXPECT_THAT(last_page.certificates(), SizeIs(1));
  EXPECT_EQ(last_page.next_page_token(), "");
  list.set_page_token("nonsense");
  EXPECT_THAT(Call(*stub, &v1::TrustStore::Stub::List, list, last_page),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("page token")));
  list.clear_page_token();
  list.set_page_size(1001);
  EXPECT_THAT(Call(*stub, &v1::TrustStore::Stub::List, list, last_page), StatusIs(absl::StatusCode::kInvalidArgument));

  // One certificate.
  v1::ShowRequest show;
  show.set_fingerprint_prefix(Hex(certificates[0]).substr(0, 20));
  v1::ShowResponse shown;
  ASSERT_OK(Call(*stub, &v1::TrustStore::Stub::Show, show, shown));
  EXPECT_EQ(shown.der(), AsText(certificates[0].der()));
  EXPECT_EQ(shown.certificate().certificate().subject(), "CN=a.example,O=Example");

  v1::SetRequest set;
  set.set_fingerprint_prefix(Hex(certificates[0]));
  set.mutable_ttl()->set_seconds(60);
  v1::SetResponse changed;
  ASSERT_OK(Call(*stub, &v1::TrustStore::Stub::Set, set, changed));
  EXPECT_EQ(changed.commit(), 2);
  EXPECT_EQ(changed.certificate().entries(0).ttl().seconds(), 60);
  set.add_add_roles(static_cast<v1::CertificateRole>(99));
  EXPECT_THAT(Call(*stub, &v1::TrustStore::Stub::Set, set, changed), StatusIs(absl::StatusCode::kInvalidArgument));

  EXPECT_FALSE(changed.certificate().entries(0).listed());
  set.clear_add_roles();
  set.set_listed(true);
  ASSERT_OK(Call(*stub, &v1::TrustStore::Stub::Set, set, changed));
  EXPECT_TRUE(changed.certificate().entries(0).listed());
  v1::AddRequest listed = Options(v1::CERTIFICATE_ROLE_SAST);
  listed.mutable_options()->set_listed(true);
  const AddOutcome added_listed = Add(*stub, {listed, Batch({certificates[0]})});
  ASSERT_OK(added_listed.status);
  EXPECT_TRUE(added_listed.result.certificates(0).entries(0).listed());

  v1::RemoveRequest remove;
  remove.set_fingerprint_prefix(Hex(certificates[1]));
  v1::RemoveResponse removed;
  ASSERT_OK(Call(*stub, &v1::TrustStore::Stub::Remove, remove, removed));
  EXPECT_TRUE(removed.certificate().entries(0).has_removed_at());

  // A viewer reads.
  grpc::ClientContext context;
  const auto exports = As<v1::TrustStore>(viewer_.files())->Export(&context, {});
  std::vector<std::string> exported;
  v1::ExportResponse batch;
  while (exports->Read(&batch))
    exported.insert(exported.end(), batch.certificates().begin(), batch.certificates().end());
  ASSERT_OK(ToAbsl(exports->Finish()));
  EXPECT_THAT(exported, ::testing::UnorderedElementsAre(AsText(certificates[0].der()), AsText(certificates[2].der())));
}

TEST_F(ItlServicesTest, CrlsAreAddedListedAndRemoved) {
  const auto stub = As<v1::TrustStore>(admin_.files());
  CertificateTemplate form = AuthorityForm("Root");
  form.not_before = absl::Now() - absl::Hours(1);
  const Party authority = MakeSelfSigned(form);
  v1::AddRequest options;
  options.mutable_options()->set_anchor(true);
  ASSERT_OK(Add(*stub, {options, Batch({authority.certificate})}).status);
  v1::AddCrlRequest add;
  add.set_crl(MakeCrl(authority, {.this_update = absl::Now() - absl::Hours(1), .number = "05", .revoked = {1, 2, 3}}));
  v1::AddCrlResponse added;
  ASSERT_OK(Call(*stub, &v1::TrustStore::Stub::AddCrl, add, added));
  EXPECT_EQ(added.crl().number(), "5");
  EXPECT_EQ(added.crl().revoked(), 3);
  v1::ListCrlsResponse crls;
  ASSERT_OK(Call(*As<v1::TrustStore>(viewer_.files()), &v1::TrustStore::Stub::ListCrls, v1::ListCrlsRequest(), crls));
  ASSERT_THAT(crls.crls(), SizeIs(1));
  EXPECT_EQ(crls.crls(0).sha256(), added.crl().sha256());
  v1::RemoveCrlRequest remove;
  remove.set_fingerprint_prefix(ToHex(AsBytes(added.crl().sha256())));
  v1::RemoveCrlResponse removed;
  ASSERT_OK(Call(*stub, &v1::TrustStore::Stub::RemoveCrl, remove, removed));
  EXPECT_THAT(Call(*stub, &v1::TrustStore::Stub::RemoveCrl, remove, removed), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ItlServicesTest, CadAddsItsAuthoritiesAndTheirCrlsAndTakesThemBack) {
  const auto stub = As<v1::TrustStore>(cad_.files());
  CertificateTemplate form = AuthorityForm("Devices");
  form.not_before = absl::Now() - absl::Hours(1);
  const Party authority = MakeSelfSigned(form);
  v1::AddAuthorityRequest add;
  add.set_cluster("default");
  add.set_certificate(std::string(AsText(authority.certificate.der())));
  v1::AddAuthorityResponse added;
  ASSERT_OK(Call(*stub, &v1::TrustStore::Stub::AddAuthority, add, added));
  EXPECT_EQ(added.commit(), 1);
  ASSERT_OK(Call(*stub, &v1::TrustStore::Stub::AddAuthority, add, added));
  EXPECT_EQ(added.commit(), 0);
  v1::ShowRequest show;
  show.set_fingerprint_prefix(Hex(authority.certificate));
  v1::ShowResponse shown;
  ASSERT_OK(Call(*As<v1::TrustStore>(viewer_.files()), &v1::TrustStore::Stub::Show, show, shown));
  ASSERT_THAT(shown.certificate().entries(), SizeIs(1));
  EXPECT_EQ(shown.certificate().entries(0).role(), v1::CERTIFICATE_ROLE_UNSPECIFIED);
  EXPECT_TRUE(shown.certificate().entries(0).anchor());
  EXPECT_EQ(shown.certificate().entries(0).origin(), "system");
  EXPECT_EQ(shown.certificate().entries(0).added_by(), "trustline:default/cad/node1");

  v1::AddCrlRequest crl;
  crl.set_crl(MakeCrl(authority, {.this_update = absl::Now() - absl::Hours(1), .number = "05", .revoked = {1}}));
  v1::AddCrlResponse crl_added;
  ASSERT_OK(Call(*stub, &v1::TrustStore::Stub::AddCrl, crl, crl_added));
  EXPECT_EQ(crl_added.commit(), 2);

  v1::RemoveAuthorityRequest remove;
  remove.set_sha256("short");
  v1::RemoveAuthorityResponse removed;
  EXPECT_THAT(Call(*stub, &v1::TrustStore::Stub::RemoveAuthority, remove, removed),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("5 bytes")));
  remove.set_sha256(std::string(AsText(authority.certificate.sha256())));
  // The administrator has other ways; a service of another kind has none.
  const TestIdentity capfd(authority_, "trustline:default/capfd/node1");
  for (const IdentityFiles& files : {admin_.files(), capfd.files(), viewer_.files()}) {
    EXPECT_THAT(Call(*As<v1::TrustStore>(files), &v1::TrustStore::Stub::AddAuthority, add, added), StatusIs(kDenied));
    EXPECT_THAT(Call(*As<v1::TrustStore>(files), &v1::TrustStore::Stub::RemoveAuthority, remove, removed),
                StatusIs(kDenied));
  }
  EXPECT_THAT(Call(*As<v1::TrustStore>(capfd.files()), &v1::TrustStore::Stub::AddCrl, crl, crl_added),
              StatusIs(kDenied));
  ASSERT_OK(Call(*stub, &v1::TrustStore::Stub::RemoveAuthority, remove, removed));
  EXPECT_EQ(removed.commit(), 3);
  EXPECT_EQ(Count("SELECT count(*) FROM trust_crl WHERE removed_at IS NULL"), 0);
  ASSERT_OK(Call(*stub, &v1::TrustStore::Stub::RemoveAuthority, remove, removed));
  EXPECT_EQ(removed.commit(), 0);

  // Nothing else of the trust store is cad's to change.
  v1::RemoveRequest remove_certificate;
  v1::RemoveResponse certificate_removed;
  EXPECT_THAT(Call(*stub, &v1::TrustStore::Stub::Remove, remove_certificate, certificate_removed), StatusIs(kDenied));
}

TEST_F(ItlServicesTest, AnImportThatEndsEarlyAddsNothing) {
  const auto stub = As<v1::TrustStore>(admin_.files());
  const v1::AddRequest batch = Batch({MakeCertificate("a.example")});
  EXPECT_THAT(Add(*stub, {Options(v1::CERTIFICATE_ROLE_TVS, 2), batch}).status,
              StatusIs(absl::StatusCode::kAborted, HasSubstr("1 of 2")));
  EXPECT_THAT(Add(*stub, {batch}).status, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("options")));
  EXPECT_THAT(Add(*stub, {}).status, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Add(*stub, {Options(v1::CERTIFICATE_ROLE_TVS), Options(v1::CERTIFICATE_ROLE_TVS)}).status,
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Add(*stub, {Options(v1::CERTIFICATE_ROLE_UNSPECIFIED), batch}).status,
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Add(*stub, {Options(v1::CERTIFICATE_ROLE_TVS), batch}, true).status,
              StatusIs(absl::StatusCode::kCancelled));
  // Ends every call, so that what could still be written has been.
  server_->Shutdown(absl::Seconds(10));
  EXPECT_EQ(Count("SELECT count(*) FROM trust_entry"), 0);
  EXPECT_EQ(TrustCommit(), 0);
}

TEST_F(ItlServicesTest, WhoMayNotIsDeniedAndOnRecord) {
  const v1::AddRequest batch = Batch({MakeCertificate("a.example")});
  EXPECT_THAT(Add(*As<v1::TrustStore>(viewer_.files()), {Options(v1::CERTIFICATE_ROLE_TVS), batch}).status,
              StatusIs(kDenied));
  EXPECT_THAT(Add(*As<v1::TrustStore>(Nobody()), {Options(v1::CERTIFICATE_ROLE_TVS), batch}).status,
              StatusIs(kUnauthenticated));
  v1::SetResponse set;
  EXPECT_THAT(Call(*As<v1::TrustStore>(auditor_.files()), &v1::TrustStore::Stub::Set, v1::SetRequest(), set),
              StatusIs(kDenied));
  v1::GrantRequest grant;
  grant.set_person("viewer");
  grant.set_role(v1::ACCESS_ROLE_ADMINISTRATOR);
  v1::GrantResponse granted;
  EXPECT_THAT(Call(*As<v1::Access>(viewer_.files()), &v1::Access::Stub::Grant, grant, granted), StatusIs(kDenied));
  v1::CreateTokenResponse token;
  EXPECT_THAT(Call(*As<v1::Node>(viewer_.files()), &v1::Node::Stub::CreateToken, v1::CreateTokenRequest(), token),
              StatusIs(kDenied));
  EXPECT_THAT(Call(*As<v1::Node>(Nobody()), &v1::Node::Stub::CreateToken, v1::CreateTokenRequest(), token),
              StatusIs(kUnauthenticated));
  grpc::ClientContext context;
  const auto verify = As<v1::Audit>(viewer_.files())->Verify(&context, {});
  v1::VerifyAuditResponse report;
  EXPECT_FALSE(verify->Read(&report));
  EXPECT_THAT(ToAbsl(verify->Finish()), StatusIs(kDenied));

  audit_->Stop();
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE outcome = 'denied'"), 7);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE outcome = 'denied' AND actor = 'anonymous'"), 2);
  EXPECT_EQ(TrustCommit(), 0);
}

TEST_F(ItlServicesTest, AuditIsListedAndVerified) {
  ASSERT_OK(Add(*As<v1::TrustStore>(admin_.files()),
                {Options(v1::CERTIFICATE_ROLE_TVS), Batch({MakeCertificate("a.example")})})
                .status);
  ASSERT_OK(SealBatch(*itld_));
  const auto stub = As<v1::Audit>(auditor_.files());
  grpc::ClientContext list_context;
  v1::ListAuditRequest request;
  request.set_action("trust");
  const auto events = stub->List(&list_context, request);
  v1::AuditEvent event;
  ASSERT_TRUE(events->Read(&event));
  EXPECT_EQ(event.action(), "trust.add");
  EXPECT_EQ(event.cluster(), "default");
  EXPECT_EQ(event.actor(), kTestActor);
  EXPECT_EQ(event.outcome(), "done");
  EXPECT_EQ(event.seal_number(), 1);
  EXPECT_EQ(event.seal_hash().size(), 32u);
  EXPECT_FALSE(events->Read(&event));
  ASSERT_OK(ToAbsl(events->Finish()));

  const auto verify = [&] {
    grpc::ClientContext context;
    const auto reports = stub->Verify(&context, {});
    v1::VerifyAuditResponse report;
    while (reports->Read(&report)) {
    }
    EXPECT_OK(ToAbsl(reports->Finish()));
    EXPECT_TRUE(report.finished());
    return report;
  };
  EXPECT_TRUE(verify().intact());
  RunByHand("UPDATE audit_event SET actor = 'trustline:default/person/somebody'");
  const v1::VerifyAuditResponse report = verify();
  EXPECT_FALSE(report.intact());
  EXPECT_THAT(report.findings(), ElementsAre(HasSubstr("altered")));
}

TEST_F(ItlServicesTest, AccessIsInForceWhenTheCallReturns) {
  const auto admin = As<v1::Access>(admin_.files());
  const auto viewer = As<v1::Access>(viewer_.files());
  v1::ListGrantsResponse grants;
  EXPECT_THAT(Call(*viewer, &v1::Access::Stub::ListGrants, v1::ListGrantsRequest(), grants), StatusIs(kDenied));
  v1::GrantRequest grant;
  grant.set_person("viewer");
  grant.set_role(v1::ACCESS_ROLE_AUDITOR);
  v1::GrantResponse granted;
  ASSERT_OK(Call(*admin, &v1::Access::Stub::Grant, grant, granted));
  EXPECT_TRUE(granted.changed());
  ASSERT_OK(Call(*viewer, &v1::Access::Stub::ListGrants, v1::ListGrantsRequest(), grants));
  EXPECT_THAT(grants.grants(), SizeIs(4));
  v1::RevokeRequest revoke;
  revoke.set_person("viewer");
  revoke.set_role(v1::ACCESS_ROLE_AUDITOR);
  v1::RevokeResponse revoked;
  ASSERT_OK(Call(*admin, &v1::Access::Stub::Revoke, revoke, revoked));
  EXPECT_THAT(Call(*viewer, &v1::Access::Stub::ListGrants, v1::ListGrantsRequest(), grants), StatusIs(kDenied));
  revoke.set_person("admin");
  revoke.set_role(v1::ACCESS_ROLE_ADMINISTRATOR);
  EXPECT_THAT(Call(*admin, &v1::Access::Stub::Revoke, revoke, revoked),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("last administrator")));
  grant.set_role(v1::ACCESS_ROLE_UNSPECIFIED);
  EXPECT_THAT(Call(*admin, &v1::Access::Stub::Grant, grant, granted), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ItlServicesTest, WhoMakesAClusterAdministratesIt) {
  const auto admin = As<v1::Access>(admin_.files());
  v1::CreateClusterRequest create;
  create.set_name("branch");
  v1::CreateClusterResponse created;
  ASSERT_OK(Call(*admin, &v1::Access::Stub::CreateCluster, create, created));
  EXPECT_EQ(created.cluster().time_zone(), "UTC");
  v1::GrantRequest grant;
  grant.set_cluster("branch");
  grant.set_person("carol");
  grant.set_role(v1::ACCESS_ROLE_VIEWER);
  v1::GrantResponse granted;
  EXPECT_OK(Call(*admin, &v1::Access::Stub::Grant, grant, granted));
  v1::ListClustersResponse clusters;
  ASSERT_OK(Call(*admin, &v1::Access::Stub::ListClusters, v1::ListClustersRequest(), clusters));
  EXPECT_THAT(clusters.clusters(), SizeIs(2));
  ASSERT_OK(
      Call(*As<v1::Access>(viewer_.files()), &v1::Access::Stub::ListClusters, v1::ListClustersRequest(), clusters));
  ASSERT_THAT(clusters.clusters(), SizeIs(1));
  EXPECT_EQ(clusters.clusters(0).name(), "default");
}

TEST_F(ItlServicesTest, APersonGetsAnIdentityThatWorks) {
  ASSERT_OK_AND_ASSIGN(const PrivateKey key, PrivateKey::Generate(KeyKind::kEcP256));
  ASSERT_OK_AND_ASSIGN(const CertificateRequest own, CertificateRequest::Build(key, "trustline:default/person/bob"));
  v1::IssuePersonIdentityRequest request;
  request.set_person("bob");
  request.set_certificate_request(std::string(AsText(own.der())));
  v1::IssuePersonIdentityResponse response;
  const auto admin = As<v1::Access>(admin_.files());
  ASSERT_OK(Call(*admin, &v1::Access::Stub::IssuePersonIdentity, request, response));
  v1::GrantRequest grant;
  grant.set_person("bob");
  grant.set_role(v1::ACCESS_ROLE_VIEWER);
  v1::GrantResponse granted;
  ASSERT_OK(Call(*admin, &v1::Access::Stub::Grant, grant, granted));

  const TemporaryDirectory folder;
  ASSERT_OK_AND_ASSIGN(const Certificate certificate, Certificate::FromDer(AsBytes(response.certificate())));
  ASSERT_OK_AND_ASSIGN(const Certificate authority, Certificate::FromDer(AsBytes(response.authority())));
  ASSERT_OK(WriteIdentity(IdentityFilesIn(folder.path()), key, certificate, authority));
  v1::ListResponse list;
  EXPECT_OK(
      Call(*As<v1::TrustStore>(IdentityFilesIn(folder.path())), &v1::TrustStore::Stub::List, v1::ListRequest(), list));

  request.set_person("carol");
  EXPECT_THAT(Call(*admin, &v1::Access::Stub::IssuePersonIdentity, request, response), StatusIs(kDenied));
}

TEST_F(ItlServicesTest, AMachineJoinsWithATokenAndRenewsItself) {
  const auto admin = As<v1::Node>(admin_.files());
  const auto stranger = As<v1::Node>(Nobody());
  v1::CreateTokenRequest create;
  create.set_node("node2");
  v1::CreateTokenResponse token;
  ASSERT_OK(Call(*admin, &v1::Node::Stub::CreateToken, create, token));
  EXPECT_EQ(token.authority_sha256(), AsText(authority_.certificate().sha256()));

  ASSERT_OK_AND_ASSIGN(const PrivateKey key, PrivateKey::Generate(KeyKind::kEcP256));
  ASSERT_OK_AND_ASSIGN(const CertificateRequest own, CertificateRequest::Build(key, "trustline:default/tvsd/node2"));
  v1::JoinRequest join;
  join.set_secret("wrong");
  join.set_certificate_request(std::string(AsText(own.der())));
  join.set_tvs_certificate(std::string(AsText(MakeCertificate(TvsForm("node2.example", absl::Now())).der())));
  v1::JoinResponse joined;
  EXPECT_THAT(Call(*stranger, &v1::Node::Stub::Join, join, joined), StatusIs(kDenied, HasSubstr("token is wrong")));
  join.set_secret(token.secret());
  ASSERT_OK(Call(*stranger, &v1::Node::Stub::Join, join, joined));
  EXPECT_EQ(joined.node(), "node2");
  EXPECT_EQ(metrics_.GetCounter("trustline_node_joins_total", "", {{"outcome", "refused"}}).value(), 1u);

  const TemporaryDirectory folder;
  ASSERT_OK_AND_ASSIGN(const Certificate certificate, Certificate::FromDer(AsBytes(joined.certificate())));
  ASSERT_OK(WriteIdentity(IdentityFilesIn(folder.path()), key, certificate, authority_.certificate()));
  const auto node = As<v1::Node>(IdentityFilesIn(folder.path()));
  v1::RenewIdentityRequest renew;
  renew.set_certificate_request(join.certificate_request());
  v1::RenewIdentityResponse renewed;
  ASSERT_OK(Call(*node, &v1::Node::Stub::RenewIdentity, renew, renewed));
  EXPECT_THAT(Call(*stranger, &v1::Node::Stub::RenewIdentity, renew, renewed), StatusIs(kUnauthenticated));

  // It says where it answers, and an administrator approves it.
  v1::AnnounceRequest announce;
  announce.set_grpc_port(9441);
  v1::AnnounceResponse announced;
  ASSERT_OK(Call(*node, &v1::Node::Stub::Announce, announce, announced));
  EXPECT_EQ(announced.grpc_address(), "127.0.0.1:9441");
  announce.set_grpc_address("node2.example");
  ASSERT_OK(Call(*node, &v1::Node::Stub::Announce, announce, announced));
  EXPECT_THAT(Call(*admin, &v1::Node::Stub::Announce, announce, announced), StatusIs(kDenied));
  EXPECT_THAT(Call(*As<v1::Node>(cad_.files()), &v1::Node::Stub::Announce, announce, announced), StatusIs(kDenied));

  // What it is about to present to phones: of this node, whoever gave the order.
  v1::PresentCertificatesRequest present;
  present.set_cluster("default");
  present.set_ordered_by("trustline:default/person/alice");
  v1::PresentCertificatesResponse presented;
  EXPECT_THAT(Call(*node, &v1::Node::Stub::PresentCertificates, present, presented),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("presents a certificate")));
  present.add_certificates_sha256("short");
  EXPECT_THAT(Call(*node, &v1::Node::Stub::PresentCertificates, present, presented),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("32 bytes, not 5")));
  present.set_certificates_sha256(0, std::string(32, 'a'));
  EXPECT_THAT(Call(*admin, &v1::Node::Stub::PresentCertificates, present, presented), StatusIs(kDenied));
  EXPECT_OK(Call(*node, &v1::Node::Stub::PresentCertificates, present, presented));
  for (const char* nobody : {"", "alice", "trustline:default/tvsd/node1", "trustline:default/person/a\nb"}) {
    present.set_ordered_by(nobody);
    EXPECT_THAT(Call(*node, &v1::Node::Stub::PresentCertificates, present, presented),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << nobody;
  }

  v1::ApproveNodeRequest approve;
  approve.set_node("node2");
  v1::ApproveNodeResponse approved;
  EXPECT_THAT(Call(*node, &v1::Node::Stub::ApproveNode, approve, approved), StatusIs(kDenied));
  EXPECT_THAT(Call(*As<v1::Node>(viewer_.files()), &v1::Node::Stub::ApproveNode, approve, approved), StatusIs(kDenied));
  ASSERT_OK(Call(*admin, &v1::Node::Stub::ApproveNode, approve, approved));
  EXPECT_TRUE(approved.changed());
  EXPECT_EQ(approved.commit(), 2);

  v1::ListNodesResponse nodes;
  ASSERT_OK(Call(*As<v1::Node>(viewer_.files()), &v1::Node::Stub::ListNodes, v1::ListNodesRequest(), nodes));
  ASSERT_THAT(nodes.nodes(), SizeIs(1));
  EXPECT_EQ(nodes.nodes(0).identity(), "trustline:default/tvsd/node2");
  EXPECT_TRUE(nodes.nodes(0).has_approved_at());
  EXPECT_EQ(nodes.nodes(0).approved_by(), kTestActor);
  EXPECT_EQ(nodes.nodes(0).grpc_address(), "node2.example:9441");
  v1::RemoveNodeRequest remove;
  remove.set_node("node2");
  v1::RemoveNodeResponse removed;
  ASSERT_OK(Call(*admin, &v1::Node::Stub::RemoveNode, remove, removed));
  EXPECT_THAT(Call(*node, &v1::Node::Stub::RenewIdentity, renew, renewed), StatusIs(kDenied, HasSubstr("removed")));

  audit_->Stop();
  EXPECT_EQ(
      Text("SELECT string_agg(action || ' ' || outcome, ', ' ORDER BY action, outcome) FROM audit_event "
           "WHERE action LIKE 'node.%'"),
      "node.announce done, node.announce done, node.approve done, node.join denied, node.join done, node.remove done, "
      "node.token done");
}

}  // namespace
}  // namespace trustline
