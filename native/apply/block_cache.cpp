#include "apply/block_cache.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "io/bytes.h"

namespace varve::apply {

namespace {

constexpr std::size_t kGatheredMax = std::size_t{1} << 20;
// Content of this size is not worth a copy.
constexpr std::size_t kDirectMin = std::size_t{256} << 10;

}  // namespace

BlockCache::BlockCache(BlockStore& store, std::size_t pages_max)
    : store_(store), pages_max_(pages_max) {
  gathered_.reserve(kGatheredMax);
}

std::size_t BlockCache::page_length(std::uint64_t number) const noexcept {
  const std::uint64_t rest = store_.size() - number * kPageSize;
  return static_cast<std::size_t>(std::min<std::uint64_t>(rest, kPageSize));
}

int BlockCache::load(std::uint64_t number, Page*& page) {
  if (const auto found = pages_.find(number); found != pages_.end()) {
    page = found->second.get();
    return 0;
  }
  if (pages_.size() >= pages_max_) {
    if (const int error = flush(); error != 0) return error;
    pages_.clear();
  }
  const std::uint64_t offset = number * kPageSize;
  if (offset < gathered_offset_ + gathered_.size() && gathered_offset_ < offset + kPageSize) {
    if (const int error = flush_gathered(); error != 0) return error;
  }
  auto loaded = std::make_unique<Page>();
  const std::span<std::byte> bytes(loaded->bytes.data(), page_length(number));
  if (const int error = store_.read(bytes, offset); error != 0) return error;
  page = pages_.emplace(number, std::move(loaded)).first->second.get();
  return 0;
}

int BlockCache::read(std::span<std::byte> destination, std::uint64_t offset) {
  if (!io::is_within(offset, destination.size(), store_.size())) return -EINVAL;
  while (!destination.empty()) {
    const std::size_t within = offset % kPageSize;
    const std::size_t length = std::min(destination.size(), kPageSize - within);
    Page* page = nullptr;
    if (const int error = load(offset / kPageSize, page); error != 0) return error;
    std::memcpy(destination.data(), page->bytes.data() + within, length);
    destination = destination.subspan(length);
    offset += length;
  }
  return 0;
}

int BlockCache::write(std::span<const std::byte> source, std::uint64_t offset) {
  if (!io::is_within(offset, source.size(), store_.size())) return -ENOSPC;
  while (!source.empty()) {
    const std::size_t within = offset % kPageSize;
    const std::size_t length = std::min(source.size(), kPageSize - within);
    Page* page = nullptr;
    if (const int error = load(offset / kPageSize, page); error != 0) return error;
    if (std::memcmp(page->bytes.data() + within, source.data(), length) != 0) {
      std::memcpy(page->bytes.data() + within, source.data(), length);
      page->is_dirty = true;
    }
    source = source.subspan(length);
    offset += length;
  }
  return 0;
}

int BlockCache::write_content(std::span<const std::byte> source, std::uint64_t offset) {
  if (!io::is_within(offset, source.size(), store_.size())) return -ENOSPC;
  // A block may have been metadata before it was given to a file.
  for (std::size_t at = 0; at < source.size();) {
    const std::size_t within = (offset + at) % kPageSize;
    const std::size_t length = std::min(source.size() - at, kPageSize - within);
    if (const auto found = pages_.find((offset + at) / kPageSize); found != pages_.end()) {
      std::memcpy(found->second->bytes.data() + within, source.data() + at, length);
    }
    at += length;
  }
  const bool continues = gathered_offset_ + gathered_.size() == offset;
  const bool fits = gathered_.size() + source.size() <= kGatheredMax;
  if (!continues || !fits || source.size() >= kDirectMin) {
    if (const int error = flush_gathered(); error != 0) return error;
  }
  if (source.size() >= kDirectMin) return store_.write(source, offset);
  if (gathered_.empty()) gathered_offset_ = offset;
  gathered_.insert(gathered_.end(), source.begin(), source.end());
  return 0;
}

int BlockCache::flush_gathered() {
  if (gathered_.empty()) return 0;
  const int error = store_.write(gathered_, gathered_offset_);
  gathered_.clear();
  return error;
}

int BlockCache::flush_pages() {
  std::vector<std::uint64_t> dirty;
  for (const auto& [number, page] : pages_) {
    if (page->is_dirty) dirty.push_back(number);
  }
  std::sort(dirty.begin(), dirty.end());
  std::vector<std::byte> run;
  for (std::size_t at = 0; at < dirty.size();) {
    run.clear();
    std::size_t end = at;
    while (end < dirty.size() && dirty[end] - dirty[at] == end - at && run.size() < kGatheredMax) {
      const Page& page = *pages_[dirty[end]];
      run.insert(run.end(), page.bytes.begin(), page.bytes.begin() +
                 static_cast<std::ptrdiff_t>(page_length(dirty[end])));
      ++end;
    }
    if (const int error = store_.write(run, dirty[at] * kPageSize); error != 0) return error;
    for (; at < end; ++at) pages_[dirty[at]]->is_dirty = false;
  }
  return 0;
}

int BlockCache::flush() {
  if (const int error = flush_gathered(); error != 0) return error;
  return flush_pages();
}

}  // namespace varve::apply
