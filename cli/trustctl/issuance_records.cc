#include "cli/trustctl/issuance_records.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/trustctl/enumeration_words.h"
#include "cli/trustctl/trust_records.h"
#include "common/bytes/bytes.h"
#include "common/status/status.h"
#include "common/x509/certificate.h"

namespace trustline {
namespace {

constexpr int64_t kPageSize = 500;

}  // namespace

std::vector<Column> IssuedCertificateColumns() {
  return {{"issuance_id", "ISSUANCE", false},
          {"device", "DEVICE"},
          {"serial", "SERIAL"},
          {"subject", "SUBJECT"},
          {"issuer", "ISSUER"},
          {"authority_id", "AUTHORITY", false},
          {"public_key", "KEY", false},
          {"public_key_sha256", "KEY HASH"},
          {"not_before", "VALID FROM", false},
          {"not_after", "EXPIRES"},
          {"state", "STATE"},
          {"sha256", "FINGERPRINT", false},
          {"requested_by", "REQUESTED BY", false},
          {"requested_at", "REQUESTED", false},
          {"signed_at", "SIGNED", false},
          {"delivered_at", "DELIVERED", false},
          {"confirmed_at", "CONFIRMED", false},
          {"revoked_at", "REVOKED", false},
          {"revocation_reason", "REASON", false},
          {"revoked_by", "REVOKED BY", false},
          {"abandoned_because", "ABANDONED BECAUSE", false},
          {"first_crl_number", "FIRST CRL", false}};
}

Row IssuedCertificateRow(const v1::IssuedCertificate& certificate) {
  return {certificate.issuance_id(),
          certificate.device(),
          certificate.serial(),
          certificate.subject(),
          certificate.issuer(),
          int64_t{certificate.authority_id()},
          certificate.public_key(),
          Fingerprint{certificate.public_key_sha256()},
          TimestampCell(certificate.not_before()),
          TimestampCell(certificate.not_after()),
          WordCell(kCertificateStates, certificate.state()),
          certificate.sha256().empty() ? Cell() : Cell(Fingerprint{certificate.sha256()}),
          certificate.requested_by(),
          TimestampCell(certificate.requested_at()),
          TimestampCell(certificate.signed_at()),
          TimestampCell(certificate.delivered_at()),
          TimestampCell(certificate.confirmed_at()),
          TimestampCell(certificate.revoked_at()),
          WordCell(kRevocationReasons, certificate.revocation_reason()),
          certificate.revoked_by(),
          certificate.abandoned_because(),
          certificate.first_crl_number() == 0 ? Cell() : Cell(certificate.first_crl_number())};
}

std::string IssuedCertificateText(const v1::IssuedCertificate& certificate) {
  return fmt::format("{} of {}", certificate.serial(), certificate.device());
}

absl::Status ForEachCertificate(Environment& environment, Client<v1::Issuance>& client,
                                v1::ListCertificatesRequest request, int64_t limit,
                                const std::function<absl::Status(const v1::IssuedCertificate&)>& visit) {
  int64_t visited = 0;
  while (true) {
    const int64_t wanted = limit == 0 ? kPageSize : std::min(kPageSize, limit - visited);
    request.set_page_size(static_cast<int32_t>(wanted));
    ASSIGN_OR_RETURN(const v1::ListCertificatesResponse page,
                     (environment.Ask(client, &v1::Issuance::Stub::ListCertificates, request)));
    for (const v1::IssuedCertificate& certificate : page.certificates()) {
      if (limit != 0 && visited == limit) return absl::OkStatus();
      ++visited;
      RETURN_IF_ERROR(visit(certificate));
    }
    if (page.next_page_token().empty() || (limit != 0 && visited == limit)) return absl::OkStatus();
    request.set_page_token(page.next_page_token());
  }
}

absl::StatusOr<std::string> ChainToPem(std::string_view der,
                                       const google::protobuf::RepeatedPtrField<std::string>& issuers) {
  ASSIGN_OR_RETURN(std::string pem, DerToPem(der));
  for (const std::string& issuer : issuers) {
    ASSIGN_OR_RETURN(const std::string more, DerToPem(issuer));
    pem += more;
  }
  return pem;
}

absl::StatusOr<Record::List> ChainList(const google::protobuf::RepeatedPtrField<std::string>& issuers) {
  Record::List list{
      "chain", {{"chain_subject", "ISSUERS"}, {"chain_sha256", "FINGERPRINT"}, {"chain_not_after", "EXPIRES"}}, {}};
  for (const std::string& der : issuers) {
    const absl::StatusOr<Certificate> certificate = Certificate::FromDer(AsBytes(der));
    if (!certificate.ok()) {
      return DataLoss("the service sent what is not a certificate: {}", StatusMessage(certificate.status()));
    }
    list.rows.push_back({certificate->subject().ToText(), Fingerprint{std::string(AsText(certificate->sha256()))},
                         certificate->not_after()});
  }
  return list;
}

}  // namespace trustline
