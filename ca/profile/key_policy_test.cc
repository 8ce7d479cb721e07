#include "ca/profile/key_policy.h"

#include <openssl/core_names.h>

#include "common/status/status.h"
#include "common/x509/openssl_ptr.h"
#include "common/x509/private_key.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

BignumPtr Prime(int bits) {
  BignumPtr prime(BN_new());
  EXPECT_EQ(BN_generate_prime_ex(prime.get(), bits, 0, nullptr, nullptr, nullptr), 1);
  return prime;
}

BignumPtr Product(const BIGNUM* a, const BIGNUM* b) {
  const BnCtxPtr context(BN_CTX_new());
  BignumPtr product(BN_new());
  BN_mul(product.get(), a, b, context.get());
  return product;
}

EvpPkeyPtr RsaPublicKey(const BIGNUM* modulus, unsigned long exponent = 65537) {
  const ParameterBuilderPtr builder(OSSL_PARAM_BLD_new());
  const BignumPtr e(BN_new());
  BN_set_word(e.get(), exponent);
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus);
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get());
  const ParameterPtr parameters(OSSL_PARAM_BLD_to_param(builder.get()));
  const EvpPkeyCtxPtr context(EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr));
  EVP_PKEY* key = nullptr;
  EVP_PKEY_fromdata_init(context.get());
  EXPECT_EQ(EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, parameters.get()), 1);
  return EvpPkeyPtr(key);
}

absl::Status Check(const EvpPkeyPtr& key, const KeyPolicy& policy = {}) {
  ASSIGN_OR_RETURN(const PublicKeyInfo info, PublicKeyInfo::Of(key.get()));
  return CheckDeviceKey(info, policy);
}

TEST(KeyPolicy, TakesWhatPhonesMake) {
  EXPECT_OK(Check(EvpPkeyPtr(EVP_RSA_gen(2048))));
  EXPECT_OK(Check(EvpPkeyPtr(EVP_RSA_gen(3072))));
  for (const char* curve : {"P-256", "P-384", "P-521"}) EXPECT_OK(Check(EvpPkeyPtr(EVP_EC_gen(curve)))) << curve;
}

TEST(KeyPolicy, SizesAndKinds) {
  const EvpPkeyPtr old(EVP_RSA_gen(1024));
  EXPECT_THAT(Check(old), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("allow_rsa_1024")));
  EXPECT_OK(Check(old, {.allow_rsa_1024 = true}));
  EXPECT_THAT(Check(EvpPkeyPtr(EVP_RSA_gen(768)), {.allow_rsa_1024 = true}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("768")));
  const BignumPtr p = Prime(2100), q = Prime(2100);
  EXPECT_THAT(Check(RsaPublicKey(Product(p.get(), q.get()).get())),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("4200")));
  EXPECT_THAT(Check(EvpPkeyPtr(EVP_EC_gen("secp256k1"))),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("secp256k1")));
  EXPECT_THAT(Check(EvpPkeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"))),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ED25519")));
}

TEST(KeyPolicy, Exponents) {
  const BignumPtr p = Prime(1024), q = Prime(1024);
  const BignumPtr modulus = Product(p.get(), q.get());
  EXPECT_OK(Check(RsaPublicKey(modulus.get())));
  EXPECT_THAT(Check(RsaPublicKey(modulus.get(), 3)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("allow_exponent_3")));
  EXPECT_OK(Check(RsaPublicKey(modulus.get(), 3), {.allow_exponent_3 = true}));
  EXPECT_FALSE(Check(RsaPublicKey(modulus.get(), 17), {.allow_exponent_3 = true}).ok());
  EXPECT_FALSE(Check(RsaPublicKey(modulus.get(), 65539)).ok());
}

TEST(KeyPolicy, SmallFactors) {
  const BignumPtr p = Prime(2040);
  for (const unsigned long factor : {3UL, 61UL, 997UL}) {
    const BignumPtr small(BN_new());
    BN_set_word(small.get(), factor);
    const BignumPtr modulus = Product(p.get(), small.get());
    const absl::Status status = Check(RsaPublicKey(modulus.get()), {.allow_rsa_1024 = true});
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("divisible by"))) << factor;
  }
}

TEST(KeyPolicy, FactorsThatAreClose) {
  const BignumPtr p = Prime(1024);
  // The next prime but a few.
  const BignumPtr q(BN_dup(p.get()));
  const BnCtxPtr context(BN_CTX_new());
  do {
    BN_add_word(q.get(), 2);
  } while (BN_check_prime(q.get(), context.get(), nullptr) != 1);
  EXPECT_THAT(Check(RsaPublicKey(Product(p.get(), q.get()).get())),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("Fermat")));
  EXPECT_THAT(Check(RsaPublicKey(Product(p.get(), p.get()).get())),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("Fermat")));
}

// A modulus of the form that the defective hardware made: both primes are powers of 65537 modulo the primorial.
TEST(KeyPolicy, Roca) {
  const BnCtxPtr context(BN_CTX_new());
  const BignumPtr primorial(BN_new());
  BN_one(primorial.get());
  for (BN_ULONG n = 2; n <= 701; ++n) {
    bool prime = true;
    for (BN_ULONG d = 2; d * d <= n; ++d) prime = prime && n % d != 0;
    if (prime) BN_mul_word(primorial.get(), n);
  }
  const BignumPtr base(BN_new());
  BN_set_word(base.get(), 65537);
  const auto defective_prime = [&] {
    BignumPtr candidate(BN_new());
    const BignumPtr exponent(BN_new()), factor(BN_new());
    do {
      BN_rand(exponent.get(), 200, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY);
      BN_mod_exp(candidate.get(), base.get(), exponent.get(), primorial.get(), context.get());
      BN_rand(factor.get(), 1024 - BN_num_bits(primorial.get()) + 1, BN_RAND_TOP_TWO, BN_RAND_BOTTOM_ANY);
      BN_mul(factor.get(), factor.get(), primorial.get(), context.get());
      BN_add(candidate.get(), candidate.get(), factor.get());
    } while (BN_check_prime(candidate.get(), context.get(), nullptr) != 1);
    return candidate;
  };
  const BignumPtr p = defective_prime(), q = defective_prime();
  EXPECT_THAT(Check(RsaPublicKey(Product(p.get(), q.get()).get())),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ROCA")));
  // One good prime is enough to be free of it.
  const BignumPtr good = Prime(1024);
  EXPECT_OK(Check(RsaPublicKey(Product(p.get(), good.get()).get())));
}

}  // namespace
}  // namespace trustline
