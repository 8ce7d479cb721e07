// What a trust list costs that is as large as phones take: 39 certificates; and what a change costs that concerns a
// thousand lists. Each figure stands beside the operations with RSA 2048 that it cannot do without.
#include <fmt/format.h>
#include <time.h>

#include <cstdio>

#include "common/status/status.h"
#include "common/x509/certificate_builder.h"
#include "common/x509/openssl_error.h"
#include "common/x509/openssl_ptr.h"
#include "itl/trust_list/reader.h"
#include "itl/trust_list/writer.h"
#include "tests/benchmarks/list_regeneration.h"
#include "tests/benchmarks/report.h"

namespace trustline {
namespace {

constexpr size_t kCertificates = 39;
constexpr int kRounds = 101;
constexpr double kWantedReadMilliseconds = 6;
constexpr double kWantedWriteMilliseconds = 15;

struct Party {
  PrivateKey key;
  Certificate certificate;
};

// As phones know servers: self-signed, with CN, O and OU.
absl::StatusOr<Party> MakeParty(size_t number) {
  ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::Generate(KeyKind::kRsa2048));
  CertificateTemplate form;
  const std::string name = fmt::format("node{}.cluster.example", number);
  ASSIGN_OR_RETURN(form.subject, DistinguishedName::FromAttributes({{"CN", name}, {"O", "Example"}, {"OU", "Voice"}}));
  form.not_before = absl::Now() - absl::Hours(1);
  form.not_after = absl::Now() + absl::Hours(24 * 365);
  form.is_ca = true;
  form.path_length = 0;
  form.key_usage = {"digitalSignature", "keyEncipherment", "dataEncipherment", "keyCertSign", "cRLSign"};
  form.extended_key_usage = {"serverAuth", "clientAuth", "1.3.6.1.5.5.7.3.5"};
  form.dns_names = {name};
  ASSIGN_OR_RETURN(Certificate certificate, BuildSelfSigned(form, key));
  return Party{std::move(key), std::move(certificate)};
}

// Processor time of this thread: nothing here waits, and what else runs on the machine is not measured.
double ProcessorMilliseconds() {
  timespec time = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
}

// The median of the rounds.
template <typename Operation>
absl::StatusOr<double> Milliseconds(const Operation& operation) {
  std::vector<double> rounds;
  for (int round = 0; round < kRounds; ++round) {
    const double begin = ProcessorMilliseconds();
    RETURN_IF_ERROR(operation());
    rounds.push_back(ProcessorMilliseconds() - begin);
  }
  return Median(rounds);
}

void AddLine(Report& report, std::string measure, double figure, double floor, double wanted) {
  report.Add({.measure = std::move(measure),
              .figure = fmt::format("{:.3f} ms", figure),
              .floor = fmt::format("{:.3f} ms", floor),
              .ratio = figure / floor,
              .wanted = fmt::format("< {} ms", wanted),
              .met = figure < wanted});
}

absl::Status Run(Report& report) {
  std::vector<Party> parties;
  for (size_t i = 0; i < kCertificates; ++i) {
    ASSIGN_OR_RETURN(Party party, MakeParty(i));
    parties.push_back(std::move(party));
  }
  const Party& signer = parties.front();
  const SignedFileForm form = {.signer_version = kSignerVersion,
                               .digest = DigestAlgorithm::kSha512,
                               .file_name = "ITLFile.tlv",
                               .timestamp = absl::Now()};

  // 1. The floors: one signature, one verification, of a digest's size.
  const std::string message(64, 'm');
  const auto* const text = reinterpret_cast<const unsigned char*>(message.data());
  std::string signature(256, '\0');
  ASSIGN_OR_RETURN(const double bare_signature, Milliseconds([&]() -> absl::Status {
                     const EvpMdCtxPtr context(EVP_MD_CTX_new());
                     size_t size = signature.size();
                     if (EVP_DigestSignInit(context.get(), nullptr, EVP_sha512(), nullptr, signer.key.get()) != 1 ||
                         EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, text,
                                        message.size()) != 1) {
                       return OpenSslInternal("a bare signature");
                     }
                     return absl::OkStatus();
                   }));
  ASSIGN_OR_RETURN(const double bare_verification, Milliseconds([&]() -> absl::Status {
                     const EvpMdCtxPtr context(EVP_MD_CTX_new());
                     EVP_PKEY* const key = X509_get0_pubkey(signer.certificate.x509());
                     if (EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha512(), nullptr, key) != 1 ||
                         EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(signature.data()),
                                          signature.size(), text, message.size()) != 1) {
                       return OpenSslInternal("a bare verification");
                     }
                     return absl::OkStatus();
                   }));

  // 2. From certificates to a file, and from its bytes to its signer.
  std::string file;
  ASSIGN_OR_RETURN(const double writing, Milliseconds([&]() -> absl::Status {
                     std::string records;
                     for (size_t i = 0; i < parties.size(); ++i) {
                       const CertificateRole role = i == 0 ? CertificateRole::kSast : CertificateRole::kCcmTftp;
                       ASSIGN_OR_RETURN(const std::string record,
                                        WriteRecord({parties[i].certificate, role, "", ""}, form.name_form));
                       records += record;
                     }
                     ASSIGN_OR_RETURN(file, WriteTrustList(records, form, signer.certificate, signer.key));
                     return absl::OkStatus();
                   }));
  ASSIGN_OR_RETURN(const double reading, Milliseconds([&]() -> absl::Status {
                     ASSIGN_OR_RETURN(const TrustList list, DecodeTrustList(AsBytes(file)));
                     return VerifyTrustList(list).status();
                   }));

  AddLine(report, fmt::format("list of {} certificates: write and sign", kCertificates), writing, bare_signature,
          kWantedWriteMilliseconds);
  AddLine(report, fmt::format("list of {} certificates: read and verify", kCertificates), reading, bare_verification,
          kWantedReadMilliseconds);
  report.Add({.measure = "its size", .figure = fmt::format("{} bytes", file.size())});
  return MeasureListRegeneration(report);
}

}  // namespace
}  // namespace trustline

int main() {
  trustline::Report report;
  const absl::Status status = trustline::Run(report);
  if (!status.ok()) {
    fmt::print(stderr, "trust_list_benchmark: {}\n", trustline::StatusMessage(status));
    return 1;
  }
  return report.missed() == 0 ? 0 : 1;
}
