// Exports, read and written: the file itself, and what is broken about those that are.
#include "itl/move/cluster_trust.h"

#include <google/protobuf/util/json_util.h>

#include <functional>

#include "itl/list/list_testing.h"
#include "itl/move/cluster_trust_store.h"
#include "proto/migration.pb.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

class ClusterTrustTest : public ListDatabaseTest {
 protected:
  void SetUp() override {
    ListDatabaseTest::SetUp();
    AddServer("node1");
    AddServer("node2");
    AddListed(tvs_);
    AddListed(MakePhoneFacing("capf"), CertificateRole::kCapf);
    ASSERT_OK(Import({MakePhoneFacing("tvs that no list names")}, {.roles = {CertificateRole::kTvs}}));
    ASSERT_OK(Publish(Approved()));
    ASSERT_OK(TurnMixedModeOn());
    ASSERT_OK_AND_ASSIGN(trust_, Read());
  }
  absl::StatusOr<ClusterTrust> Read() {
    return RunInTransaction(*itld_, {},
                            [](Connection& connection) { return ReadClusterTrust(connection, 1, "default"); });
  }
  // What the reader says of the export after a change.
  absl::Status Changed(const std::function<void(v1::ExportedTrust&)>& change) {
    v1::ExportedTrust message;
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(EncodeClusterTrust(trust_), &message).ok());
    change(message);
    std::string file;
    EXPECT_TRUE(google::protobuf::util::MessageToJsonString(message, &file).ok());
    return DecodeClusterTrust(file).status();
  }
  static std::string Names(const ClusterTrust& trust) {
    std::string names;
    for (const MovedCertificate& one : trust.certificates) {
      names += one.of + ":";
      for (const CertificateRole role : one.roles) names += fmt::format(" {}", CertificateRoleName(role));
      names += "; ";
    }
    return names;
  }

  const Certificate tvs_ = MakePhoneFacing("tvs1");
  ClusterTrust trust_;
};

TEST_F(ClusterTrustTest, TheFileHasWhatPhonesNeedAndNoMore) {
  EXPECT_EQ(Names(trust_),
            "ITLRecovery: SAST; TFTP server node1: SAST CCM+TFTP; TFTP server node2: SAST CCM+TFTP; TVS: TVS; ");
  const std::string file = EncodeClusterTrust(trust_);
  ASSERT_OK_AND_ASSIGN(const ClusterTrust read, DecodeClusterTrust(file));
  EXPECT_EQ(EncodeClusterTrust(read), file);
  EXPECT_EQ(Names(read), Names(trust_));
  EXPECT_EQ(read.cluster, "default");
  ASSERT_THAT(read.servers, SizeIs(2));
  EXPECT_EQ(read.servers[1].name, "node2");
  EXPECT_EQ(read.servers[1].host, "node2.example");
  EXPECT_EQ(read.servers[1].itl, FileOf(List(Of(ListKind::kItl, "node2"))));
  EXPECT_EQ(read.servers[1].file_signer, Signers().at(2).certificate.sha256());
  EXPECT_EQ(read.ctl, FileOf(List({.kind = ListKind::kCtl})));
  // Once more the same, so that the two sides can compare it.
  ASSERT_OK_AND_ASSIGN(const ClusterTrust again, Read());
  EXPECT_EQ(EncodeClusterTrust(again), file);
  EXPECT_EQ(file.find("PRIVATE"), std::string::npos);
}

TEST_F(ClusterTrustTest, EveryTruncationIsBroken) {
  std::string file = EncodeClusterTrust(trust_);
  ASSERT_OK(DecodeClusterTrust(file).status());
  file.erase(file.find_last_not_of('\n') + 1);
  ASSERT_OK(DecodeClusterTrust(file).status());
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_THAT(DecodeClusterTrust(std::string_view(file).substr(0, size)),
                StatusIs(kInvalid, HasSubstr("the export is broken")))
        << size;
  }
}

TEST_F(ClusterTrustTest, ADamagedFileIsReadOrBroken) {
  const std::string file = EncodeClusterTrust(trust_);
  for (size_t i = 0; i < file.size(); i += 61) {
    std::string damaged = file;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    const absl::StatusOr<ClusterTrust> read = DecodeClusterTrust(damaged);
    EXPECT_TRUE(read.ok() || read.status().code() == kInvalid) << read.status();
  }
}

TEST_F(ClusterTrustTest, WhatIsNoExportIsSaid) {
  EXPECT_THAT(DecodeClusterTrust(""), StatusIs(kInvalid, HasSubstr("no whole JSON text")));
  EXPECT_THAT(DecodeClusterTrust("{}"), StatusIs(kInvalid, HasSubstr("its format is \"\"")));
  EXPECT_THAT(DecodeClusterTrust("[]"), StatusIs(kInvalid));
  EXPECT_THAT(DecodeClusterTrust("null"), StatusIs(kInvalid));
  EXPECT_THAT(DecodeClusterTrust("{\"format\": 7}"), StatusIs(kInvalid));
  EXPECT_THAT(DecodeClusterTrust("{\"format\": {\"a\": 1}}"), StatusIs(kInvalid));
  EXPECT_THAT(DecodeClusterTrust("{\"certificates\": \"all\"}"), StatusIs(kInvalid));
  EXPECT_THAT(DecodeClusterTrust("{\"private_key\": \"MII\"}"), StatusIs(kInvalid, HasSubstr("private_key")));
  EXPECT_THAT(DecodeClusterTrust(std::string(10 * 1024 * 1024, ' ')), StatusIs(kInvalid, HasSubstr("10485760 bytes")));
  EXPECT_THAT(DecodeClusterTrust(std::string(1'000'000, '[')), StatusIs(kInvalid));
  EXPECT_THAT(DecodeClusterTrust(std::string("{\"format\":\"\0\"}", 14)), StatusIs(kInvalid));
}

TEST_F(ClusterTrustTest, WhatPhonesCouldNotUseIsRefused) {
  using Export = v1::ExportedTrust;
  EXPECT_OK(Changed([](Export&) {}));
  const auto expect = [&](const char* words, const std::function<void(Export&)>& change) {
    EXPECT_THAT(Changed(change), StatusIs(kInvalid, HasSubstr(words)));
  };
  expect("format is \"trustline cluster trust 2\"", [](Export& e) { e.set_format("trustline cluster trust 2"); });
  expect("a cluster's name", [](Export& e) { e.set_cluster("Berlin\n"); });
  expect("no TFTP server", [](Export& e) { e.clear_tftp_servers(); });
  expect("certificate 2 cannot be read", [](Export& e) { e.mutable_certificates(1)->mutable_der()->push_back('x'); });
  expect("certificate 4 has no role", [](Export& e) { e.mutable_certificates(3)->clear_roles(); });
  expect("certificate 4 has a role that is none of",
         [](Export& e) { e.mutable_certificates(3)->add_roles(v1::CERTIFICATE_ROLE_CAPF); });
  expect("certificate 4 has a role that is none of",
         [](Export& e) { e.mutable_certificates(3)->add_roles(v1::CERTIFICATE_ROLE_UNSPECIFIED); });
  expect("certificate 4 has the role TVS twice",
         [](Export& e) { e.mutable_certificates(3)->add_roles(v1::CERTIFICATE_ROLE_TVS); });
  expect("certificate 5 stands in it twice", [](Export& e) { *e.add_certificates() = e.certificates(3); });
  expect("one line", [](Export& e) { e.mutable_certificates(0)->set_of("a\nb"); });
  expect("the ITL of node1 is signed by CN=ITLRECOVERY",
         [](Export& e) { e.mutable_certificates(0)->set_roles(0, v1::CERTIFICATE_ROLE_TVS); });
  expect("the ITL of node1 cannot be read", [](Export& e) { e.mutable_tftp_servers(0)->mutable_itl()->pop_back(); });
  expect("the ITL of node1 cannot be read", [](Export& e) { e.mutable_tftp_servers(0)->clear_itl(); });
  expect("the ITL of node2 does not verify", [](Export& e) {
    // In the last record's certificate, so that it stays well-formed.
    std::string& itl = *e.mutable_tftp_servers(1)->mutable_itl();
    itl[itl.size() - 3] = static_cast<char>(itl[itl.size() - 3] ^ 1);
  });
  expect("bytes, and phones load no more", [](Export& e) { e.set_ctl(std::string(70'000, 'x')); });
  expect("the CTL cannot be read", [](Export& e) { e.set_ctl("x"); });
  expect("the TFTP server node2 stands in it twice", [](Export& e) { *e.add_tftp_servers() = e.tftp_servers(1); });
  expect("a TFTP server's name", [](Export& e) { e.mutable_tftp_servers(0)->set_name("../x"); });
  expect("has no host", [](Export& e) { e.mutable_tftp_servers(0)->set_host("a b"); });
  expect("by a SHA-256", [](Export& e) { e.mutable_tftp_servers(0)->set_file_signer_sha256("short"); });
  expect("the certificate that signs the files of node1 is not in it",
         [](Export& e) { *e.mutable_tftp_servers(0)->mutable_file_signer_sha256() = std::string(32, '\1'); });
  expect("no more than 1000 and 500 are read", [](Export& e) {
    for (int i = 0; i < 1'001; ++i) e.add_certificates();
  });
}

TEST_F(ClusterTrustTest, WhatIsNotPublishedIsNotExported) {
  ASSERT_OK(InStore([&](Connection& connection, ListStore&) {
    const TrustStoreCaller actor = caller();
    return ListSigners(connection, actor, *keys_, now_.Now()).MakeRecovery(TestListPolicy(), "another").status();
  }));
  EXPECT_THAT(Read(), StatusIs(absl::StatusCode::kFailedPrecondition,
                               AllOf(HasSubstr("is signed with a key that is no signer any more"),
                                     HasSubstr("trustctl itl publish"))));
}

}  // namespace
}  // namespace trustline
