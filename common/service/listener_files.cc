#include "common/service/listener_files.h"

#include <filesystem>
#include <system_error>

#include "common/service/certificate_of_key.h"
#include "common/service/text_file.h"
#include "common/status/status.h"
#include "common/x509/certificate_chain.h"

namespace trustline {
namespace {

constexpr std::string_view kCure = "restore the two files that belong together";
constexpr mode_t kCertificateMode = 0644;

std::string Requested(const std::string& path) { return path + ".requested"; }
std::string Saved(const std::string& path) { return path + ".saved"; }
std::string Previous(const std::string& path) { return path + ".previous"; }

bool Exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

bool IsSameFile(const std::string& one, const std::string& other) {
  std::error_code error;
  return std::filesystem::equivalent(one, other, error);
}

std::string ChainToPem(const std::vector<Certificate>& chain) {
  std::string pem;
  for (const Certificate& certificate : chain) pem += certificate.ToPem();
  return pem;
}

absl::Status NoPrevious(const ListenerFiles& files) {
  return NotFound("{} has not been replaced yet: there is no certificate before it", files.certificate);
}

// The key is saved first, as a second name of its file, and the certificate is taken back first: so a saved certificate
// without a saved key is one whose key is in its place already.
absl::Status Save(const ListenerFiles& files) {
  RETURN_IF_ERROR(LinkFile(files.key, Saved(files.key)));
  // A copy, because the file may belong to another user, whose files cannot be given a second name.
  ASSIGN_OR_RETURN(const std::vector<Certificate> present, ReadChainFile(files.certificate));
  return WriteFileAtomically(Saved(files.certificate), ChainToPem(present), kCertificateMode);
}

// Puts what Save left in its place: as the previous ones when the key was replaced since, else nowhere.
absl::Status SettleSaved(const ListenerFiles& files) {
  const bool key_saved = Exists(Saved(files.key));
  if (key_saved && IsSameFile(Saved(files.key), files.key)) {
    RETURN_IF_ERROR(RemoveFile(Saved(files.certificate)));
    return RemoveFile(Saved(files.key));
  }
  if (key_saved) RETURN_IF_ERROR(RenameFile(Saved(files.key), Previous(files.key)));
  if (!Exists(Saved(files.certificate))) return absl::OkStatus();
  return RenameFile(Saved(files.certificate), Previous(files.certificate));
}

// `new_key` is the path of the key's file, which is renamed.
absl::Status Replace(const ListenerFiles& files, const std::string& new_key, const std::vector<Certificate>& chain) {
  RETURN_IF_ERROR(SettleSaved(files));
  RETURN_IF_ERROR(Save(files));
  RETURN_IF_ERROR(WriteFileAtomically(PendingCertificatePath(files.certificate), ChainToPem(chain), kCertificateMode));
  RETURN_IF_ERROR(RenameFile(new_key, files.key));
  // From here on everything goes as after a crash.
  RETURN_IF_ERROR(LoadListenerCredentials(files).status());
  return SettleSaved(files);
}

}  // namespace

absl::StatusOr<ListenerCredentials> LoadListenerCredentials(const ListenerFiles& files) {
  ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::ReadKeyFile(files.key, files.passphrase_file));
  ASSIGN_OR_RETURN(std::vector<Certificate> chain, ReadCertificatesOfKey(key, files.key, files.certificate, kCure));
  return ListenerCredentials{std::move(chain), std::move(key)};
}

absl::Status WriteRequestedKey(const ListenerFiles& files, const PrivateKey& key) {
  if (files.passphrase_file.empty()) return key.WriteKeyFile(Requested(files.key));
  ASSIGN_OR_RETURN(const SecretBytes passphrase, ReadPassphraseFile(files.passphrase_file));
  return key.WriteKeyFile(Requested(files.key), &passphrase);
}

absl::StatusOr<PrivateKey> LoadRequestedKey(const ListenerFiles& files) {
  if (!Exists(Requested(files.key))) {
    return NotFound(
        "no key waits here for a certificate: `trustctl listener csr` makes one, with the request for an outside "
        "authority, and `trustctl listener renew` one with a self-signed certificate");
  }
  return PrivateKey::ReadKeyFile(Requested(files.key), files.passphrase_file);
}

absl::Status UseRequested(const ListenerFiles& files, const std::vector<Certificate>& chain) {
  ASSIGN_OR_RETURN(const PrivateKey key, LoadRequestedKey(files));
  if (chain.empty() || !key.MatchesCertificate(chain.front())) {
    return FailedPrecondition("the certificate is not for the key in {}", Requested(files.key));
  }
  return Replace(files, Requested(files.key), chain);
}

absl::StatusOr<std::vector<Certificate>> ReadPreviousChain(const ListenerFiles& files) {
  RETURN_IF_ERROR(SettleSaved(files));
  if (!Exists(Previous(files.certificate))) return NoPrevious(files);
  return ReadChainFile(Previous(files.certificate));
}

absl::StatusOr<ListenerCredentials> LoadPrevious(const ListenerFiles& files) {
  ASSIGN_OR_RETURN(std::vector<Certificate> chain, ReadPreviousChain(files));
  if (!Exists(Previous(files.key))) return NoPrevious(files);
  ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::ReadKeyFile(Previous(files.key), files.passphrase_file));
  if (!key.MatchesCertificate(chain.front())) {
    return FailedPrecondition("{} is not the key of {}: {}", Previous(files.key), Previous(files.certificate), kCure);
  }
  return ListenerCredentials{std::move(chain), std::move(key)};
}

absl::Status UsePrevious(const ListenerFiles& files) {
  ASSIGN_OR_RETURN(const ListenerCredentials previous, LoadPrevious(files));
  return Replace(files, Previous(files.key), previous.chain);
}

absl::StatusOr<std::shared_ptr<TlsContext>> MakeListenerTls(const ListenerCredentials& credentials, bool allow_tls10,
                                                            bool ask_client_certificate) {
  std::string pem = credentials.chain.front().ToPem();
  for (size_t i = 1; i < credentials.chain.size(); ++i) {
    // Whoever does not know the root already gains nothing by being sent it.
    if (!Issued(credentials.chain[i], credentials.chain[i])) pem += credentials.chain[i].ToPem();
  }
  return TlsContext::Create({.certificate_chain_pem = pem,
                             .private_key = credentials.key.get(),
                             .allow_tls10 = allow_tls10,
                             .ask_client_certificate = ask_client_certificate});
}

}  // namespace trustline
