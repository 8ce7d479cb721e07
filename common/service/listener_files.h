// The certificate and key of a phone-facing listener on disk: the present ones, a new key that waits for its
// certificate, and the ones before, so that a replacement can be taken back.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/net/tls_context.h"
#include "common/x509/certificate.h"
#include "common/x509/private_key.h"

namespace trustline {

// Paths of PEM files. Listeners whose files are equal have one certificate. Beside them lie, at most, KEY.requested,
// KEY.previous and CERTIFICATE.previous, and while they are replaced KEY.saved, CERTIFICATE.saved and CERTIFICATE.next.
// Every key has mode 0600 and is encrypted under the same passphrase.
struct ListenerFiles {
  std::string certificate;  // the listener's, then its issuers
  std::string key;
  std::string passphrase_file;  // empty: the keys are not encrypted

  bool operator==(const ListenerFiles&) const = default;
};

struct ListenerCredentials {
  std::vector<Certificate> chain;  // the listener's certificate first
  PrivateKey key;
};

// The present ones. Completes a replacement that ended between key and certificate. FailedPrecondition when the two are
// no pair; else errors name the file.
absl::StatusOr<ListenerCredentials> LoadListenerCredentials(const ListenerFiles& files);

// Lets a new key wait for its certificate, in place of one that waits already.
absl::Status WriteRequestedKey(const ListenerFiles& files, const PrivateKey& key);

// The key that waits. NotFound, with the next step, when none does.
absl::StatusOr<PrivateKey> LoadRequestedKey(const ListenerFiles& files);

// Makes the key that waits and `chain`, the listener's certificate first, the present ones; the present ones become the
// previous. Whatever ends that in between, LoadListenerCredentials gives either the old pair or the new one.
// FailedPrecondition when the certificate is not the key's. Not for two callers at once.
absl::Status UseRequested(const ListenerFiles& files, const std::vector<Certificate>& chain);

// The certificates before the present ones, without their key; NotFound when there are none. As LoadPrevious and
// UsePrevious it first puts in its place what a replacement had saved when it was ended. Not for two callers at once.
absl::StatusOr<std::vector<Certificate>> ReadPreviousChain(const ListenerFiles& files);

// With their key. FailedPrecondition when the two are no pair.
absl::StatusOr<ListenerCredentials> LoadPrevious(const ListenerFiles& files);

// Exchanges the present and the previous ones, as UseRequested does.
absl::Status UsePrevious(const ListenerFiles& files);

// What a listener presents with them: the chain without its self-signed root, or a self-signed certificate itself.
// `ask_client_certificate` as in TlsContextOptions.
absl::StatusOr<std::shared_ptr<TlsContext>> MakeListenerTls(const ListenerCredentials& credentials, bool allow_tls10,
                                                            bool ask_client_certificate = false);

}  // namespace trustline
