#include "itl/move/cluster_trust.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "common/bytes/bytes.h"
#include "common/net/ip_address.h"
#include "common/rpc/certificate_summary.h"
#include "common/service/json.h"
#include "common/status/status.h"
#include "itl/trust_list/reader.h"
#include "proto/migration.pb.h"

namespace trustline {
namespace {

constexpr char kFormat[] = "trustline cluster trust 1";
constexpr int kMostCertificates = 1'000;
constexpr int kMostServers = 500;
constexpr size_t kLongestName = 63;
constexpr size_t kLongestOf = 200;
// Those of a list's signer, of a signer of configuration files, and of a TVS.
constexpr CertificateRole kMovedRoles[] = {CertificateRole::kSast, CertificateRole::kTftp, CertificateRole::kCcmTftp,
                                           CertificateRole::kTvs};

template <typename... Args>
absl::Status Broken(fmt::format_string<Args...> format, Args&&... args) {
  return InvalidArgument("the export is broken: {}", fmt::format(format, std::forward<Args>(args)...));
}

bool IsName(std::string_view name, std::string_view also) {
  return !name.empty() && name.size() <= kLongestName && std::all_of(name.begin(), name.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || also.find(c) != std::string_view::npos;
  });
}

// `number` counts from 1.
absl::StatusOr<MovedCertificate> ReadCertificate(const v1::ExportedTrust::Certificate& message, int number) {
  absl::StatusOr<Certificate> certificate = Certificate::FromDer(AsBytes(message.der()));
  if (!certificate.ok()) {
    return Broken("certificate {} cannot be read: {}", number, StatusMessage(certificate.status()));
  }
  if (message.of().size() > kLongestOf || PrintableText(message.of()) != message.of()) {
    return Broken("certificate {}: whose it is must be one line of up to {} bytes", number, kLongestOf);
  }
  MovedCertificate moved{.certificate = *std::move(certificate), .roles = {}, .of = message.of()};
  for (const int code : message.roles()) {
    const std::optional<CertificateRole> role = FromProto(static_cast<v1::CertificateRole>(code));
    if (!role || std::find(std::begin(kMovedRoles), std::end(kMovedRoles), *role) == std::end(kMovedRoles)) {
      return Broken("certificate {} has a role that is none of SAST, TFTP, CCM+TFTP and TVS", number);
    }
    if (moved.Has(*role)) return Broken("certificate {} has the role {} twice", number, CertificateRoleName(*role));
    moved.roles.push_back(*role);
  }
  if (moved.roles.empty()) return Broken("certificate {} has no role", number);
  return moved;
}

// Of all certificates in one role of `roles`.
bool Names(const ClusterTrust& trust, const Sha256Digest& sha256, std::initializer_list<CertificateRole> roles) {
  return std::any_of(trust.certificates.begin(), trust.certificates.end(), [&](const MovedCertificate& one) {
    return one.certificate.sha256() == sha256 &&
           std::any_of(roles.begin(), roles.end(), [&](CertificateRole role) { return one.Has(role); });
  });
}

absl::Status CheckList(const ClusterTrust& trust, const std::string& file, const std::string& what) {
  if (file.size() > kMaxTrustListSize) {
    return Broken("the {} has {} bytes, and phones load no more than {}", what, file.size(), kMaxTrustListSize);
  }
  const absl::StatusOr<TrustList> list = DecodeTrustList(AsBytes(file));
  if (!list.ok()) return Broken("the {} cannot be read: {}", what, StatusMessage(list.status()));
  const absl::StatusOr<Certificate> signer = VerifyTrustList(*list);
  if (!signer.ok()) return Broken("the {} does not verify: {}", what, StatusMessage(signer.status()));
  if (Names(trust, signer->sha256(), {CertificateRole::kSast})) return absl::OkStatus();
  return Broken("the {} is signed by {}, which the export does not name as SAST", what, signer->subject().ToText());
}

absl::StatusOr<MovedServer> ReadServer(const ClusterTrust& trust, const v1::ExportedTrust::TftpServer& message) {
  if (!IsName(message.name(), "-.")) {
    return Broken("a TFTP server's name is 1 to {} lower-case letters, digits, '-' and '.'", kLongestName);
  }
  if (!IsHost(message.host())) return Broken("the TFTP server {} has no host", message.name());
  MovedServer server{.name = message.name(), .host = message.host(), .itl = message.itl()};
  RETURN_IF_ERROR(CheckList(trust, server.itl, fmt::format("ITL of {}", server.name)));
  if (message.file_signer_sha256().size() != server.file_signer.size()) {
    return Broken("the TFTP server {} names no certificate that signs its files by a SHA-256", server.name);
  }
  std::copy(message.file_signer_sha256().begin(), message.file_signer_sha256().end(), server.file_signer.begin());
  if (!Names(trust, server.file_signer, {CertificateRole::kTftp, CertificateRole::kCcmTftp})) {
    return Broken("the certificate that signs the files of {} is not in it as TFTP or CCM+TFTP", server.name);
  }
  return server;
}

}  // namespace

bool MovedCertificate::Has(CertificateRole role) const {
  return std::find(roles.begin(), roles.end(), role) != roles.end();
}

std::string EncodeClusterTrust(const ClusterTrust& trust) {
  v1::ExportedTrust message;
  message.set_format(kFormat);
  message.set_cluster(trust.cluster);
  for (const MovedCertificate& moved : trust.certificates) {
    v1::ExportedTrust::Certificate& one = *message.add_certificates();
    one.set_der(std::string(AsText(moved.certificate.der())));
    for (const CertificateRole role : moved.roles) one.add_roles(ToProto(role));
    one.set_of(moved.of);
  }
  for (const MovedServer& server : trust.servers) {
    v1::ExportedTrust::TftpServer& one = *message.add_tftp_servers();
    one.set_name(server.name);
    one.set_host(server.host);
    one.set_itl(server.itl);
    one.set_file_signer_sha256(std::string(AsText(server.file_signer)));
  }
  message.set_ctl(trust.ctl);
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  std::string text;
  // It fails for messages of unknown types only.
  (void)google::protobuf::util::MessageToJsonString(message, &text, options);
  return text;
}

absl::StatusOr<ClusterTrust> DecodeClusterTrust(std::string_view file) {
  // 1. The form.
  if (file.size() > kLargestClusterTrust) {
    return Broken("it has {} bytes, and none has more than {}", file.size(), kLargestClusterTrust);
  }
  v1::ExportedTrust message;
  const auto parsed =
      google::protobuf::util::JsonStringToMessage(google::protobuf::StringPiece(file.data(), file.size()), &message);
  if (!parsed.ok()) {
    const auto why = parsed.message();
    return Broken("it is no whole JSON text of an export: {}", PrintableText({why.data(), why.size()}, 200));
  }
  if (message.format() != kFormat) {
    return Broken("its format is \"{}\", and this version reads \"{}\"", PrintableText(message.format(), 60), kFormat);
  }
  ClusterTrust trust;
  trust.cluster = message.cluster();
  if (!IsName(trust.cluster, "-")) {
    return Broken("a cluster's name is 1 to {} lower-case letters, digits and '-'", kLongestName);
  }
  if (message.certificates_size() > kMostCertificates || message.tftp_servers_size() > kMostServers) {
    return Broken("it has {} certificates and {} TFTP servers, and no more than {} and {} are read",
                  message.certificates_size(), message.tftp_servers_size(), kMostCertificates, kMostServers);
  }

  // 2. The certificates.
  std::set<Sha256Digest> seen;
  for (const auto& one : message.certificates()) {
    const int number = static_cast<int>(trust.certificates.size()) + 1;
    ASSIGN_OR_RETURN(MovedCertificate moved, ReadCertificate(one, number));
    if (!seen.insert(moved.certificate.sha256()).second) return Broken("certificate {} stands in it twice", number);
    trust.certificates.push_back(std::move(moved));
  }

  // 3. The lists, which are signed by some of them.
  std::set<std::string> names;
  for (const auto& one : message.tftp_servers()) {
    ASSIGN_OR_RETURN(MovedServer server, ReadServer(trust, one));
    if (!names.insert(server.name).second) return Broken("the TFTP server {} stands in it twice", server.name);
    trust.servers.push_back(std::move(server));
  }
  if (trust.servers.empty()) return Broken("it has no TFTP server that phones could move to");
  trust.ctl = message.ctl();
  if (!trust.ctl.empty()) RETURN_IF_ERROR(CheckList(trust, trust.ctl, "CTL"));
  return trust;
}

}  // namespace trustline
