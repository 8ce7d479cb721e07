// The built program with itld's service of trust lists beside it, and lists of the vectors' certificates.
#pragma once

#include <memory>
#include <string>

#include "cli/trustctl/fake_trust_lists_service.h"
#include "cli/trustctl/trustctl_testing.h"
#include "cli/trustctl/vector_lists_testing.h"
#include "common/x509/pkcs12.h"

namespace trustline {

class TrustListsFixture : public TrustctlFixture {
 protected:
  void SetUp() override {
    TrustctlFixture::SetUp();
    ASSERT_OK_AND_ASSIGN(itld_, StartServer("itld", {&lists_}));
    WriteContext({{"itld", itld_.get()}});
  }

  // A PKCS#12 file of a vector's key, and the file with its passphrase.
  std::string WriteKeyFile(const std::string& vector) const {
    const CertifiedKey key = VectorKey(vector);
    return directory_.WriteFile(vector + ".p12",
                                *WritePkcs12(key.certificate, key.key, SecretBytes(kPassphrase), "ITLRecovery"));
  }
  std::string WritePassphraseFile(std::string_view passphrase = kPassphrase) const {
    const std::string path = directory_.WriteFile("passphrase", std::string(passphrase) + "\n");
    std::filesystem::permissions(path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    return path;
  }

  void SetRecovery(const std::string& vector) {
    v1::ListSigner& signer = *lists_.overview.add_signers();
    const Certificate certificate = VectorKey(vector).certificate;
    signer.mutable_certificate()->set_sha256(std::string(AsText(certificate.sha256())));
    signer.mutable_certificate()->set_subject(certificate.subject().ToText());
  }

  v1::PublishResponse::List& AddOutcome(v1::PublishResponse::Outcome outcome, const std::string& reason = "") {
    v1::PublishResponse::List& list = *lists_.outcome.add_lists();
    list.set_outcome(outcome);
    list.mutable_list()->set_kind(v1::TRUST_LIST_KIND_ITL);
    list.mutable_list()->set_tftp_server("tftp1");
    list.mutable_list()->set_file_name("ITLFile.tlv");
    list.mutable_list()->mutable_current()->set_number(2);
    if (!reason.empty()) list.mutable_list()->mutable_candidate()->set_reason(reason);
    return list;
  }

  static constexpr std::string_view kPassphrase = "a good passphrase";

  FakeTrustLists lists_;
  std::unique_ptr<RpcServer> itld_;
};

}  // namespace trustline
