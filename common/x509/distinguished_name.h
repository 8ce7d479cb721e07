// X.501 names: of certificates, and in the texts by which phones ask for a signer (docs/PROTOCOLS.md, TVS query).
#pragma once

#include <openssl/x509.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/bytes/sha256.h"
#include "common/x509/openssl_ptr.h"

namespace trustline {

// One attribute of a name.
struct NameAttribute {
  std::string oid;    // dotted decimal, "2.5.4.3"
  std::string value;  // UTF-8; "#" and the hexadecimal DER of a value that is not a string (RFC 4514, section 2.4)
  bool is_text = true;
  bool joins_previous = false;  // stands in the same relative distinguished name as the one before it

  bool operator==(const NameAttribute&) const = default;
};

// A name as its attributes in certificate order. Immutable.
class DistinguishedName {
 public:
  static constexpr size_t kMaxAttributes = 64;
  static constexpr size_t kMaxTextSize = 4096;

  // The empty name.
  DistinguishedName() = default;

  // InvalidArgument for more than kMaxAttributes or a string that cannot be turned into UTF-8.
  static absl::StatusOr<DistinguishedName> FromX509Name(const X509_NAME* name);

  // Reads `CN=a;OU=b` or `CN=a, OU=b`, with RFC 4514 escapes, quoted values and #hex values; attribute types are
  // OpenSSL's and RFC 4519's names in any case, or dotted OIDs. `;` separates when it ever stands before `type=`,
  // otherwise `,` does; a separator that no known `type=` follows belongs to the value. Refuses NULs.
  static absl::StatusOr<DistinguishedName> FromText(std::string_view text);

  // From (attribute type name or OID, UTF-8 value) pairs, in this order.
  static absl::StatusOr<DistinguishedName> FromAttributes(
      const std::vector<std::pair<std::string_view, std::string_view>>& attributes);

  // RFC 4514 escapes, but in certificate order as trust lists write it: "CN=a,O=b,OU=c". Control characters are
  // escaped.
  std::string ToText() const;

  // Names with the same set of attributes have the same key: order, grouping, repetition, ASCII case and the number of
  // blanks do not matter. This is how a phone's text finds a certificate.
  Sha256Digest key() const;

  // True when a value holds a NUL, with which a name can pretend to be another one to C programs.
  bool HasEmbeddedNul() const;

  // InvalidArgument when an attribute is not text, or its value breaks the rules of its type (C has two letters).
  absl::StatusOr<X509NamePtr> ToX509Name() const;

  // The first common name (CN), or empty.
  std::string_view common_name() const;

  const std::vector<NameAttribute>& attributes() const { return attributes_; }
  bool empty() const { return attributes_.empty(); }

  bool operator==(const DistinguishedName&) const = default;

 private:
  std::vector<NameAttribute> attributes_;
};

}  // namespace trustline
