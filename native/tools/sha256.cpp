#include "tools/sha256.h"

#include <openssl/evp.h>

#include <array>

#include "tools/failure.h"

namespace varve::tools {

namespace {

void check_openssl(int result) {
  if (result != 1) throw Failure("OpenSSL cannot make a SHA-256");
}

}  // namespace

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  State() = default;
  ~State() { EVP_MD_CTX_free(context); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  check_openssl(state_->context != nullptr ? 1 : 0);
  check_openssl(EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr));
}

Sha256::~Sha256() = default;

void Sha256::add(std::span<const std::byte> bytes) {
  check_openssl(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()));
}

std::string Sha256::digest() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned length = 0;
  check_openssl(EVP_DigestFinal_ex(state_->context, bytes.data(), &length));
  std::string text;
  for (unsigned at = 0; at < length; ++at) {
    text += "0123456789abcdef"[bytes[at] >> 4];
    text += "0123456789abcdef"[bytes[at] & 15];
  }
  return text;
}

}  // namespace varve::tools
