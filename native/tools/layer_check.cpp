#include "tools/layer_check.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <vector>

#include "image/layer_file.h"
#include "image/upper_lock.h"
#include "io/bytes.h"
#include "io/slice_file.h"
#include "tar/layer_entry.h"
#include "tools/amounts.h"
#include "tools/failure.h"
#include "tools/lsmt_check.h"
#include "tools/progress.h"
#include "tools/source_files.h"
#include "tools/zfile_check.h"
#include "zfile/reader.h"

namespace varve::tools {

namespace {

// The sums of the archive's headers and the size in its pax records are checked on the way.
std::optional<io::ByteRange> find_member(const io::File& file, const Place& place) {
  try {
    return tar::find_layer(file);
  } catch (const io::FormatError& error) {
    place.defect(0, error.what());
    return std::nullopt;
  }
}

bool begins_like_zfile(const io::File& file) {
  zfile::HeaderBytes bytes;
  return file.size() >= bytes.size() && file.read(bytes, 0) == 0 && zfile::has_magic(bytes);
}

// Readers look at the first member alone; behind it comes the end of the archive, which is zeros.
void check_behind_member(const io::File& file, const io::ByteRange& member, const Place& place) {
  std::vector<std::byte> buffer(kMib);
  for (std::uint64_t offset = member.offset + member.length; offset < file.size();) {
    const std::size_t count = std::min<std::uint64_t>(buffer.size(), file.size() - offset);
    const std::span<std::byte> piece = std::span(buffer).first(count);
    if (const int error = file.read(piece, offset); error != 0) {
      place.defect(offset, "cannot be read: " + io::error_text(-error));
      return;
    }
    const auto found =
        std::ranges::find_if(piece, [](std::byte byte) { return byte != std::byte{}; });
    if (found != piece.end()) {
      place.note(offset + static_cast<std::uint64_t>(found - piece.begin()),
                 "behind the layer the tar archive goes on, and nobody reads that");
      return;
    }
    offset += count;
  }
}

// The disk gives all of it back; nothing else can be said about bytes without checksums.
void read_all(const io::File& file, const Place& place, Progress& progress) {
  std::vector<std::byte> buffer(kMib);
  for (std::uint64_t offset = 0; offset < file.size();) {
    const std::size_t count = std::min<std::uint64_t>(buffer.size(), file.size() - offset);
    if (const int error = file.read(std::span(buffer).first(count), offset); error != 0) {
      place.defect(offset, "cannot be read: " + io::error_text(-error));
    }
    offset += count;
    progress.show(offset);
  }
}

void check_content(LayerCheck& check, const io::File& content, const io::File* index,
                   const Place& place, bool is_compressed) {
  const Shape shape = shape_of(content, index != nullptr);
  if (index != nullptr && shape != Shape::kWritable) {
    throw Misuse(check.path + ": has no index file, because it is no writable layer");
  }
  switch (shape) {
    case Shape::kFinished:
      check.what += "layer";
      check.entries = check_finished_layer(content, place);
      return;
    case Shape::kWritable: {
      // Under whoever writes it, the two files do not agree from one moment to the next.
      const image::UpperLock lock =
          image::lock_upper(check.path, index == nullptr ? "" : check.index_path, true);
      check.what += "writable layer";
      check.entries = check_writable_layer(content, index, place,
                                           Place(check.index_findings, Within::kFile, 0));
      return;
    }
    case Shape::kIndexOfWritable:
      check.what += "index";
      place.defect(0,
                   "this is the index of a writable layer; name the data file, and this one "
                   "with --index");
      return;
    case Shape::kOther:
      if (is_compressed) {
        check.what += "content that is no layer";
        return;
      }
      check.what += "no layer";
      place.defect(0,
                   "this is no layer: it begins neither like a compressed file (ZFile) nor like "
                   "a layer (LSMT)");
      return;
  }
}

void check_file(LayerCheck& check) {
  const std::string& path = check.path;
  const std::string& index = check.index_path;
  std::unique_ptr<const io::File> file = open_existing(path, Access::kRead);
  const std::unique_ptr<io::File> index_file =
      index.empty() ? nullptr : open_existing(index, Access::kRead);
  const Place whole(check.findings, Within::kFile, 0);
  const std::optional<io::ByteRange> member = find_member(*file, whole);
  if (check.defects() > 0) return;
  std::uint64_t base = 0;
  if (member) {
    check.what = "tar archive, ";
    base = member->offset;
    check_behind_member(*file, *member, whole);
    file = io::open_slice(std::move(file), *member, path);
  }
  const Place place(check.findings, Within::kFile, base);
  Progress progress("verify", file->size());
  if (!begins_like_zfile(*file)) {
    check_content(check, *file, index_file.get(), place, false);
    read_all(*file, place, progress);
    return;
  }
  const std::string wrapping = check.what + "compressed ";
  check.what = wrapping + "file";
  const ZFileCheck zfile_check =
      check_zfile(*file, place, [&progress](std::uint64_t done) { progress.show(done); });
  check.blocks = zfile_check.blocks;
  if (!zfile_check.is_readable) return;
  try {
    const zfile::ZFile content(std::move(file), nullptr);
    check.what = wrapping;
    check_content(check, content, index_file.get(), Place(check.findings, Within::kContent, 0),
                  true);
  } catch (const io::FormatError& error) {
    if (check.defects() == 0) place.defect(0, error.what());
  }
}

}  // namespace

LayerCheck check_layer(const std::string& path, const std::string& index) {
  LayerCheck check;
  check.path = path;
  check.index_path = index;
  try {
    check_file(check);
  } catch (const Failure& error) {
    check.failure = error.what();
  } catch (const io::FormatError& error) {
    check.failure = with_advice(error);
  }
  return check;
}

}  // namespace varve::tools
