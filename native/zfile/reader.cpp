// Reading by range. Blocks are fetched in batches: as many neighbours as fit into the thread's
// buffer with one read of the source.
#include "zfile/reader.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <new>

#include "crc32c/crc32c.h"
#include "io/bus_guard.h"
#include "io/bytes.h"
#include "zfile/codec.h"

namespace varve::zfile {

namespace {

// Small enough for the second-level cache, so that the copy from the page cache costs little.
constexpr std::size_t kBatchSize = 96 << 10;
static_assert(kBatchSize >= kBlockSizeMax + kExpansionMax + kSumSize);

}  // namespace

struct ZFile::Scratch {
  std::array<std::byte, kBatchSize> stored;
  std::array<std::byte, kBlockSizeMax> content;
  Decompressor decompressor;
  // Whose block `content` holds; no file has identity 0.
  std::uint64_t kept_identity = 0;
  std::uint64_t kept_block = 0;
};

struct ZFile::Request {
  std::span<std::byte> destination;
  std::uint64_t offset;

  // The part of the destination that a block of `length` bytes at `begin` fills, and where in the
  // block it begins.
  [[nodiscard]] std::span<std::byte> part(std::uint64_t begin, std::size_t length,
                                          std::size_t& skipped) const noexcept {
    const std::uint64_t from = std::max(begin, offset);
    const std::uint64_t to = std::min(begin + length, offset + destination.size());
    skipped = from - begin;
    return destination.subspan(from - offset, to - from);
  }
};

ZFile::Scratch* ZFile::scratch_of_thread() noexcept {
  thread_local std::unique_ptr<Scratch> scratch;
  if (scratch == nullptr) scratch.reset(new (std::nothrow) Scratch);
  return scratch.get();
}

std::size_t ZFile::length_of(std::uint64_t block) const noexcept {
  const std::uint64_t begin = block << block_shift_;
  return std::min<std::uint64_t>(header_.block_size, header_.original_size - begin);
}

std::uint64_t ZFile::batch_end(std::uint64_t first, std::uint64_t end) const noexcept {
  const std::uint64_t limit = index_.offset_of(first) + kBatchSize;
  if (index_.offset_of(end) <= limit) return end;
  std::uint64_t block = first + 1;
  while (index_.offset_of(block + 1) <= limit) ++block;
  return block;
}

int ZFile::read(std::span<std::byte> destination, std::uint64_t offset) const noexcept {
  if (!io::is_within(offset, destination.size(), header_.original_size)) return -EINVAL;
  if (destination.empty()) return 0;
  Scratch* scratch = scratch_of_thread();
  if (scratch == nullptr) return -ENOMEM;

  const Request request{destination, offset};
  std::uint64_t first = offset >> block_shift_;
  const std::uint64_t end = ((offset + destination.size() - 1) >> block_shift_) + 1;
  if (scratch->kept_identity == identity_ && scratch->kept_block == first) {
    std::size_t skipped = 0;
    const auto part = request.part(first << block_shift_, length_of(first), skipped);
    std::memcpy(part.data(), scratch->content.data() + skipped, part.size());
    ++first;
  }
  while (first < end) {
    const std::uint64_t next = batch_end(first, end);
    if (const int error = read_blocks(*scratch, request, first, next); error != 0) return error;
    first = next;
  }
  return 0;
}

int ZFile::read_blocks(Scratch& scratch, const Request& request, std::uint64_t first,
                       std::uint64_t end) const noexcept {
  const std::uint64_t begin = index_.offset_of(first);
  const std::size_t length = index_.offset_of(end) - begin;
  int error = 0;
  bool is_there = true;
  const std::byte* shown = algorithm() == Algorithm::lz4 ? source_->view({begin, length}) : nullptr;
  if (shown != nullptr) {
    auto work = [&]() noexcept { error = decode_blocks(scratch, request, first, end, shown); };
    is_there =
        io::run_guarded([](void* context) { (*static_cast<decltype(work)*>(context))(); }, &work);
  } else {
    error = source_->read(std::span(scratch.stored).first(length), begin);
    is_there = error == 0;
    if (error == -ENOMEM) return error;
    if (is_there) error = decode_blocks(scratch, request, first, end, scratch.stored.data());
  }
  if (is_there) return error;
  scratch.kept_identity = 0;
  report(first,
         source_->is_cut_off() ? "cannot be read: the file is shorter than when it was opened"
                               : "cannot be read",
         0, 0);
  return -EIO;
}

int ZFile::decode_blocks(Scratch& scratch, const Request& request, std::uint64_t first,
                         std::uint64_t end, const std::byte* stored) const noexcept {
  std::uint64_t at = index_.offset_of(first);
  for (std::uint64_t block = first; block < end; ++block) {
    const std::uint64_t stop = index_.offset_of(block + 1);
    const std::span<const std::byte> one(stored, stop - at);
    stored += one.size();
    at = stop;
    const std::size_t length = length_of(block);
    std::size_t skipped = 0;
    const std::span<std::byte> part = request.part(block << block_shift_, length, skipped);
    if (part.size() == length) {
      if (const int error = decode(scratch, block, one, part); error != 0) return error;
      continue;
    }
    scratch.kept_identity = 0;
    const std::span<std::byte> content(scratch.content.data(), length);
    if (const int error = decode(scratch, block, one, content); error != 0) return error;
    scratch.kept_identity = identity_;
    scratch.kept_block = block;
    std::memcpy(part.data(), content.data() + skipped, part.size());
  }
  return 0;
}

int ZFile::decode(Scratch& scratch, std::uint64_t block, std::span<const std::byte> stored,
                  std::span<std::byte> content) const noexcept {
  if (header_.has_sums != 0) {
    const std::span<const std::byte> sum = stored.last(kSumSize);
    stored = stored.first(stored.size() - kSumSize);
    const auto expected = io::load<std::uint32_t>(sum.data());
    const std::uint32_t actual = crc32c::update(kBlockSumStart, stored);
    if (actual != expected) {
      report(block, nullptr, expected, actual);
      return -EIO;
    }
  }
  const int error = scratch.decompressor.decompress(algorithm(), stored, content);
  if (error == -EIO) report(block, "does not decompress to its length", 0, 0);
  return error;
}

void ZFile::report(std::uint64_t block, const char* what, std::uint32_t expected,
                   std::uint32_t actual) const noexcept {
  if (listener_ == nullptr) return;
  // What is to be told must not cost more than is lost already.
  try {
    io::Damage damage{source_->name(), index_.offset_of(block),
                      "block " + std::to_string(block) + " of the ZFile, content from " +
                          std::to_string(block << block_shift_) + " on, "};
    damage.text += what != nullptr ? what
                                   : "has the checksum " + io::hexadecimal(actual) + ", expected " +
                                         io::hexadecimal(expected);
    if (what == nullptr) damage.sums = io::Checksums{expected, actual};
    listener_->damaged(damage);
  } catch (const std::bad_alloc&) {
    return;
  }
}

}  // namespace varve::zfile
