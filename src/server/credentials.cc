#include "server/credentials.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <array>
#include <boost/asio/ip/address.hpp>

#include "server/http_message.h"

namespace blockformer {
namespace {

using Digest = std::array<unsigned char, SHA256_DIGEST_LENGTH>;

Digest DigestOf(std::string_view text) {
  Digest digest;
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return digest;
}

// Compares digests, so that the time tells nothing of the key, not even its length.
bool EqualInConstantTime(std::string_view a, std::string_view b) {
  const Digest first = DigestOf(a);
  const Digest second = DigestOf(b);
  return CRYPTO_memcmp(first.data(), second.data(), first.size()) == 0;
}

int DigitOf(char c) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const size_t found = kDigits.find(c);
  return found == std::string_view::npos ? -1 : static_cast<int>(found);
}

}  // namespace

std::optional<std::string> DecodeBase64(std::string_view text) {
  for (int i = 0; i < 2 && text.ends_with('='); ++i) text.remove_suffix(1);
  std::string bytes;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const int digit = DigitOf(c);
    if (digit < 0) return std::nullopt;
    bits = (bits << 6) | static_cast<uint32_t>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes.push_back(static_cast<char>((bits >> count) & 0xFF));
  }
  return bytes;
}

bool IsAuthorized(const std::string* authorization, std::string_view key) {
  if (authorization == nullptr) return false;
  const std::string_view value = *authorization;
  const size_t space = value.find(' ');
  if (space == std::string_view::npos) return false;
  const std::string_view scheme = value.substr(0, space);
  const std::string_view rest =
      value.substr(value.find_first_not_of(' ', space) == std::string_view::npos
                       ? value.size()
                       : value.find_first_not_of(' ', space));
  if (EqualIgnoringCase(scheme, "Bearer")) return EqualInConstantTime(rest, key);
  if (!EqualIgnoringCase(scheme, "Basic")) return false;
  const std::optional<std::string> pair = DecodeBase64(rest);
  if (!pair) return false;
  const size_t colon = pair->find(':');
  return colon != std::string::npos &&
         EqualInConstantTime(std::string_view(*pair).substr(colon + 1), key);
}

bool IsLocalHost(std::string_view host) {
  std::string_view name = host;
  if (name.starts_with('[')) {
    name = name.substr(1, name.find(']') - 1);
  } else {
    name = name.substr(0, name.find(':'));
  }
  if (EqualIgnoringCase(name, "localhost")) return true;
  boost::system::error_code error;
  boost::asio::ip::make_address(std::string(name), error);
  return !error;
}

}  // namespace blockformer
