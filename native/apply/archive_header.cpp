#include "apply/archive_header.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <string_view>

#include "apply/apply_error.h"

namespace varve::apply {

namespace {

struct Field {
  std::size_t offset;
  std::size_t length;
  const char* what;
};
constexpr Field kName = {0, 100, "name"};
constexpr Field kMode = {100, 8, "mode"};
constexpr Field kUid = {108, 8, "uid"};
constexpr Field kGid = {116, 8, "gid"};
constexpr Field kSize = {124, 12, "size"};
constexpr Field kTime = {136, 12, "time"};
constexpr Field kLinkName = {157, 100, "name of a link"};
constexpr Field kMajor = {329, 8, "device's major number"};
constexpr Field kMinor = {337, 8, "device's minor number"};
constexpr Field kPrefix = {345, 155, "prefix"};
constexpr Field kStarPrefix = {345, 131, "prefix"};
constexpr Field kRealSize = {483, 12, "size of a sparse file"};
constexpr std::size_t kType = 156;
constexpr std::size_t kMagic = 257;
constexpr std::size_t kStarMagic = 508;

std::span<const std::byte> bytes_of(const tar::Block& block, Field field) {
  return std::span(block).subspan(field.offset, field.length);
}

std::string text_of(const tar::Block& block, Field field) {
  const auto* text = reinterpret_cast<const char*>(block.data() + field.offset);
  return {text, ::strnlen(text, field.length)};
}

bool holds(const tar::Block& block, std::size_t offset, std::string_view text) {
  return std::memcmp(block.data() + offset, text.data(), text.size()) == 0;
}

[[noreturn]] void refuse(Field field) {
  throw ApplyError(EINVAL, std::string("its header is damaged: the ") + field.what +
                               " is no number that it can have");
}

std::uint64_t number_of(const tar::Block& block, Field field) {
  const std::optional<std::uint64_t> number = tar::parse_number(bytes_of(block, field));
  if (!number) refuse(field);
  return *number;
}

// Times before 1970 are base-256 in two's complement.
std::int64_t signed_number_of(const tar::Block& block, Field field) {
  const std::span<const std::byte> bytes = bytes_of(block, field);
  if (bytes.front() != std::byte{0xff}) {
    const std::uint64_t number = number_of(block, field);
    if (number > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) refuse(field);
    return static_cast<std::int64_t>(number);
  }
  std::uint64_t value = ~std::uint64_t{0};
  for (const std::byte byte : bytes.subspan(1)) {
    if (value >> 56 != 0xff) refuse(field);
    value = (value << 8) | static_cast<std::uint64_t>(byte);
  }
  if (value >> 63 == 0) refuse(field);
  return static_cast<std::int64_t>(value);
}

std::uint32_t number32_of(const tar::Block& block, Field field) {
  const std::uint64_t number = number_of(block, field);
  if (number > std::numeric_limits<std::uint32_t>::max()) refuse(field);
  return static_cast<std::uint32_t>(number);
}

std::string name_of(const tar::Block& block) {
  const std::string name = text_of(block, kName);
  // GNU's own format has something else in place of the prefix.
  if (!holds(block, kMagic, std::string_view("ustar\0", 6))) return name;
  const std::string prefix =
      text_of(block, holds(block, kStarMagic, std::string_view("tar\0", 4)) ? kStarPrefix
                                                                           : kPrefix);
  return prefix.empty() ? name : prefix + "/" + name;
}

EntryType type_of(const tar::Block& block) {
  const char flag = type_flag(block);
  switch (flag) {
    case '\0':
    case '0':
    case '7':  // a file that was to lie in one piece
    case 'S':
      return EntryType::kFile;
    case '1':
      return EntryType::kHardLink;
    case '2':
      return EntryType::kSymlink;
    case '3':
      return EntryType::kCharacterDevice;
    case '4':
      return EntryType::kBlockDevice;
    case '5':
      return EntryType::kDirectory;
    case '6':
      return EntryType::kFifo;
    default:
      throw ApplyError(EOPNOTSUPP, "it is of the type " + quoted(std::string(1, flag)) +
                                       ", which layers do not have");
  }
}

}  // namespace

bool is_zero_block(const tar::Block& block) noexcept {
  return std::all_of(block.begin(), block.end(),
                     [](std::byte byte) { return byte == std::byte{0}; });
}

char type_flag(const tar::Block& block) noexcept { return static_cast<char>(block[kType]); }

ArchiveEntry parse_archive_header(const tar::Block& block) {
  ArchiveEntry entry;
  entry.type = type_of(block);
  entry.path = name_of(block);
  entry.link_target = text_of(block, kLinkName);
  entry.attributes.permissions = static_cast<std::uint16_t>(number_of(block, kMode) & 07777);
  entry.attributes.uid = number32_of(block, kUid);
  entry.attributes.gid = number32_of(block, kGid);
  entry.attributes.time.seconds = signed_number_of(block, kTime);
  entry.stored = number_of(block, kSize);
  if (entry.type == EntryType::kCharacterDevice || entry.type == EntryType::kBlockDevice) {
    entry.device_major = number32_of(block, kMajor);
    entry.device_minor = number32_of(block, kMinor);
  }
  return entry;
}

std::uint64_t old_sparse_size(const tar::Block& block) { return number_of(block, kRealSize); }

}  // namespace varve::apply
