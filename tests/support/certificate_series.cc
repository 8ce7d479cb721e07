#include "tests/support/certificate_series.h"

#include "absl/time/clock.h"
#include "common/bytes/writer.h"
#include "common/postgres/transaction.h"
#include "common/status/status.h"
#include "common/x509/certificate_builder.h"
#include "common/x509/private_key.h"
#include "tests/support/tvs_form.h"

namespace trustline {
namespace {

constexpr size_t kNumberSize = 4;

constexpr char kAddEntries[] =
    "INSERT INTO trust_entry (cluster_id, sha256, role, ttl_seconds, anchor, origin, added_by, commit_number)"
    " SELECT $1, sha256, 7, 86400, false, 'import', 'test', $2 FROM certificate WHERE issuer_key = $3";

}  // namespace

absl::StatusOr<CertificateSeries> CertificateSeries::Create() {
  ASSIGN_OR_RETURN(const PrivateKey key, PrivateKey::Generate(KeyKind::kRsa2048));
  ASSIGN_OR_RETURN(Certificate first, BuildSelfSigned(TvsForm("app-server.example", absl::Now()), key));
  // The serial's last bytes: a change there alters neither its length nor its sign.
  const size_t serial = AsText(first.der()).find(AsText(first.serial()));
  const size_t offset = serial + first.serial().size() - kNumberSize;
  return CertificateSeries(std::move(first), offset);
}

std::string CertificateSeries::Der(uint32_t number) const {
  std::string der(AsText(first_.der()));
  return der.replace(serial_offset_, kNumberSize, ByteWriter(kNumberSize).U32(number).Take());
}

CertificateFacts CertificateSeries::Facts(uint32_t number) const {
  std::string der = Der(number);
  const Sha256Digest sha256 = Sha256(AsBytes(der));
  std::string serial(AsText(first_.serial()));
  serial.replace(serial.size() - kNumberSize, kNumberSize, der, serial_offset_, kNumberSize);
  return {.sha256 = sha256,
          .der = std::move(der),
          .subject_key = first_.subject().key(),
          .issuer_key = first_.issuer().key(),
          .serial = std::move(serial),
          .not_before = absl::ToUnixSeconds(first_.not_before()),
          .not_after = absl::ToUnixSeconds(first_.not_after()),
          .is_ca = first_.is_ca()};
}

absl::Status CertificateSeries::AddToTrustStore(Connection& connection, uint32_t count) const {
  const std::string subject = first_.subject().ToText();
  const std::string issuer = first_.issuer().ToText();
  const std::string public_key = first_.public_key_kind();
  return RunInTransaction(connection, {}, [&](Connection& c) -> absl::Status {
    ASSIGN_OR_RETURN(const Result cluster,
                     c.Execute("UPDATE cluster SET trust_commit = trust_commit + 1 WHERE name = 'default'"
                               " RETURNING cluster_id, trust_commit"));
    int32_t cluster_id = 0;
    int64_t commit = 0;
    RETURN_IF_ERROR(cluster[0].Scan(cluster_id, commit));
    uint32_t number = 0;
    RETURN_IF_ERROR(c.CopyIn("certificate (sha256, der, subject, issuer, subject_key, issuer_key, serial, not_before,"
                             " not_after, is_ca, public_key)",
                             [&](Parameters& row) -> absl::StatusOr<bool> {
                               if (number == count) return false;
                               const CertificateFacts facts = Facts(number++);
                               row.Bytes(facts.sha256)
                                   .Bytes(AsBytes(facts.der))
                                   .Text(subject)
                                   .Text(issuer)
                                   .Bytes(facts.subject_key)
                                   .Bytes(facts.issuer_key)
                                   .Bytes(AsBytes(facts.serial))
                                   .Time(first_.not_before())
                                   .Time(first_.not_after())
                                   .Bool(facts.is_ca)
                                   .Text(public_key);
                               return true;
                             })
                        .status());
    return c.Execute(kAddEntries, Parameters().Int64(cluster_id).Int64(commit).Bytes(first_.issuer().key())).status();
  });
}

}  // namespace trustline
