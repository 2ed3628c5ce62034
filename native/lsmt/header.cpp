#include "lsmt/header.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

namespace varve::lsmt {

namespace {

constexpr std::array<unsigned char, 24> kMagic = {'L',  'S',  'M',  'T',  0,    1,    2,    0,
                                                  0x65, 0x7e, 0x63, 0xd2, 0x94, 0x44, 0x08, 0x4c,
                                                  0xa2, 0xd2, 0xc8, 0xec, 0x4f, 0xcf, 0xae, 0x8a};
constexpr std::uint32_t kFieldsBytes = 390;
constexpr std::size_t kUuidBytes = 36;

constexpr std::uint32_t kHeaderFlag = 1U << 0;
constexpr std::uint32_t kDataFlag = 1U << 1;
constexpr std::uint32_t kSealedFlag = 1U << 2;
constexpr std::uint32_t kSparseFlag = 1U << 4;

// Where the fields lie.
constexpr std::size_t kSizeAt = 24;
constexpr std::size_t kFlagsAt = 28;
constexpr std::size_t kIndexOffsetAt = 32;
constexpr std::size_t kIndexCountAt = 40;
constexpr std::size_t kVirtualSizeAt = 48;
constexpr std::size_t kUuidAt = 56;
constexpr std::size_t kParentUuidAt = 93;
constexpr std::size_t kVersionAt = 132;
constexpr std::size_t kUserTagAt = 134;

constexpr std::string_view kNoUuid = "00000000-0000-0000-0000-000000000000";

template <class Number>
void store(HeaderBlock& block, std::size_t at, Number number) {
  std::memcpy(block.data() + at, &number, sizeof number);
}

template <class Number>
Number load(std::span<const std::byte, kHeaderBytes> block, std::size_t at) {
  Number number = 0;
  std::memcpy(&number, block.data() + at, sizeof number);
  return number;
}

void store_text(HeaderBlock& block, std::size_t at, std::string_view text, std::size_t max) {
  std::memcpy(block.data() + at, text.data(), std::min(text.size(), max));
}

// Up to a zero byte.
std::string load_text(std::span<const std::byte, kHeaderBytes> block, std::size_t at,
                      std::size_t max) {
  const auto* text = reinterpret_cast<const char*>(block.data() + at);
  return {text, ::strnlen(text, max)};
}

Uuid load_uuid(std::span<const std::byte, kHeaderBytes> block, std::size_t at) {
  Uuid uuid = load_text(block, at, kUuidBytes);
  if (uuid == kNoUuid) uuid.clear();
  return uuid;
}

bool is_dash_place(std::size_t at) { return at == 8 || at == 13 || at == 18 || at == 23; }

}  // namespace

std::optional<Uuid> parse_uuid(const std::string& text) {
  if (text.size() != kUuidBytes) return std::nullopt;
  Uuid uuid = text;
  for (std::size_t at = 0; at < uuid.size(); ++at) {
    char& letter = uuid[at];
    if (is_dash_place(at)) {
      if (letter != '-') return std::nullopt;
      continue;
    }
    if (letter >= 'a' && letter <= 'f') letter = static_cast<char>(letter - 'a' + 'A');
    const bool is_hex = (letter >= '0' && letter <= '9') || (letter >= 'A' && letter <= 'F');
    if (!is_hex) return std::nullopt;
  }
  return uuid;
}

Uuid random_uuid() {
  std::array<unsigned char, 16> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<long>(bytes.size())) {
    throw io::FormatError(errno, "no random numbers for a uuid");
  }
  // Version 4, the variant of RFC 4122.
  bytes[6] = static_cast<unsigned char>((bytes[6] & 0x0f) | 0x40);
  bytes[8] = static_cast<unsigned char>((bytes[8] & 0x3f) | 0x80);
  Uuid uuid;
  for (const unsigned char byte : bytes) {
    if (is_dash_place(uuid.size())) uuid += '-';
    uuid += "0123456789ABCDEF"[byte >> 4];
    uuid += "0123456789ABCDEF"[byte & 15];
  }
  return uuid;
}

HeaderBlock Header::encode() const {
  HeaderBlock block{};
  std::memcpy(block.data(), kMagic.data(), kMagic.size());
  store(block, kSizeAt, kFieldsBytes);
  store(block, kFlagsAt,
        (is_header ? kHeaderFlag : 0) | (is_data ? kDataFlag : 0) | (is_sealed ? kSealedFlag : 0) |
            (is_sparse ? kSparseFlag : 0));
  store(block, kIndexOffsetAt, index_offset);
  store(block, kIndexCountAt, index_count);
  store(block, kVirtualSizeAt, virtual_size);
  store_text(block, kUuidAt, uuid.empty() ? kNoUuid : uuid, kUuidBytes);
  store_text(block, kParentUuidAt, parent_uuid.empty() ? kNoUuid : parent_uuid, kUuidBytes);
  // Version 1.1.
  store(block, kVersionAt, std::uint8_t{1});
  store(block, kVersionAt + 1, std::uint8_t{1});
  store_text(block, kUserTagAt, user_tag, kUserTagMax);
  return block;
}

std::optional<Header> Header::decode(std::span<const std::byte, kHeaderBytes> block) {
  if (std::memcmp(block.data(), kMagic.data(), kMagic.size()) != 0) return std::nullopt;
  Header header;
  const auto flags = load<std::uint32_t>(block, kFlagsAt);
  header.is_header = (flags & kHeaderFlag) != 0;
  header.is_data = (flags & kDataFlag) != 0;
  header.is_sealed = (flags & kSealedFlag) != 0;
  header.is_sparse = (flags & kSparseFlag) != 0;
  header.index_offset = load<std::uint64_t>(block, kIndexOffsetAt);
  header.index_count = load<std::uint64_t>(block, kIndexCountAt);
  header.virtual_size = load<std::uint64_t>(block, kVirtualSizeAt);
  header.uuid = load_uuid(block, kUuidAt);
  header.parent_uuid = load_uuid(block, kParentUuidAt);
  header.user_tag = load_text(block, kUserTagAt, kUserTagMax);
  return header;
}

Header read_header(const io::File& file, const std::string& part) {
  if (file.size() < kHeaderBytes) refuse(file, "too short for a layer's " + part);
  HeaderBlock block;
  if (const int error = file.read(block, 0); error != 0) {
    throw io::FormatError(-error, file.name() + ": cannot read the header of a layer's " + part +
                                      ": " + std::strerror(-error));
  }
  const std::optional<Header> header = Header::decode(block);
  if (!header) refuse(file, "not a layer's " + part + ": the magic bytes are missing");
  if (!header->is_header) refuse(file, "begins with a trailer in place of a header");
  if (header->virtual_size > kVirtualSizeMax) {
    refuse(file, "says a virtual size that no mapping can reach: " +
                     std::to_string(header->virtual_size));
  }
  return *header;
}

bool is_layer(const io::File& file) {
  HeaderBlock block;
  if (file.size() < kHeaderBytes || file.read(block, 0) != 0) return false;
  const std::optional<Header> header = Header::decode(block);
  return header && header->is_header;
}

void refuse(const io::File& file, const std::string& defect) {
  throw io::FormatError(EINVAL, file.name() + ": " + defect);
}

}  // namespace varve::lsmt
