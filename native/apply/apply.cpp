#include "apply/apply.h"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string_view>

#include "apply/archive_reader.h"
#include "apply/layer_applier.h"
#include "apply/read_ahead.h"
#include "apply/volume.h"

namespace varve::apply {

namespace {

constexpr std::string_view kChecksumPrefix = "sha256:";
constexpr std::size_t kChecksumDigits = 64;
constexpr std::size_t kLeftOutMax = 20;

// The digits that a checksum option has, in small letters.
std::string checksum_digits(const std::string& checksum) {
  if (checksum.empty()) return {};
  if (!is_checksum(checksum)) {
    throw ApplyError(EINVAL, "the checksum " + quoted(checksum) +
                                 " is not sha256: and 64 hexadecimal digits");
  }
  std::string digits = checksum.substr(kChecksumPrefix.size());
  std::transform(digits.begin(), digits.end(), digits.begin(), [](unsigned char digit) {
    return static_cast<char>(digit >= 'A' && digit <= 'F' ? digit - 'A' + 'a' : digit);
  });
  return digits;
}

// Says of which member an error is.
[[noreturn]] void throw_of_entry(const ApplyError& error, const ArchiveReader& archive,
                                 std::uint64_t number, const std::string& name) {
  const std::string entry =
      archive.entry_name().empty() ? "" : " " + quoted(archive.entry_name());
  throw ApplyError(error.error(), name + ": entry " + std::to_string(number) + entry +
                                      " (at byte " + std::to_string(archive.entry_offset()) +
                                      " of the tar): " + error.what());
}

void note_left_out(const std::vector<std::string>& names, const std::string& path,
                   ApplyResult& result) {
  for (const std::string& name : names) {
    ++result.left_out_count;
    if (result.left_out.size() < kLeftOutMax) {
      result.left_out.push_back(quoted(path) + ": the extended attribute " + quoted(name) +
                                " is left out: ext4 has no place for it there");
    }
  }
}

void apply_entries(Volume& volume, ReadAhead& input, const std::string& name,
                   const ProgressListener& progress, ApplyResult& result) {
  ArchiveReader archive(input);
  const auto report = [&] {
    if (progress) progress({input.position(), result.entries});
  };
  LayerApplier applier(volume, archive, report);
  try {
    while (const std::optional<ArchiveEntry> entry = archive.next()) {
      note_left_out(applier.apply(*entry), entry->path, result);
      ++result.entries;
      report();
    }
  } catch (const ApplyError& error) {
    throw_of_entry(error, archive, result.entries + 1, name);
  }
  if (input.position() == 0) throw ApplyError(EINVAL, name + " is empty; it should be a tar");
  applier.finish();
}

}  // namespace

bool is_checksum(const std::string& text) {
  return text.starts_with(kChecksumPrefix) &&
         text.size() == kChecksumPrefix.size() + kChecksumDigits &&
         text.find_first_not_of("0123456789abcdefABCDEF", kChecksumPrefix.size()) ==
             std::string::npos;
}

ApplyResult apply_tar(std::unique_ptr<ByteStream> input, const std::string& name,
                      BlockStore& store, const ApplyOptions& options,
                      const ProgressListener& progress) {
  const std::string expected = checksum_digits(options.checksum);
  BlockCache cache(store);
  Volume volume = options.makes_file_system ? Volume::make(cache) : Volume::open(cache);
  ReadAhead ahead(decompress(std::move(input), name), !expected.empty());
  ApplyResult result;
  apply_entries(volume, ahead, name, progress, result);
  // Also what lies behind the end of the archive: it belongs to the sum, and a pipe wants it taken.
  ahead.drain();
  result.tar_bytes = ahead.position();
  result.sha256 = ahead.sha256();
  if (result.sha256 != expected) {
    throw ApplyError(EBADMSG, name + ": the uncompressed tar has the checksum sha256:" +
                                  result.sha256 + ", expected was sha256:" + expected);
  }
  volume.flush();
  return result;
}

}  // namespace varve::apply
