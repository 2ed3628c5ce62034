#include "zfile/writer.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "crc32c/crc32c.h"
#include "io/bytes.h"
#include "zfile/batch.h"
#include "zfile/codec.h"

namespace varve::zfile {

namespace {

constexpr unsigned kThreadsMax = 256;

unsigned threads_of(const WriteOptions& options) {
  const unsigned wanted =
      options.threads != 0 ? options.threads : std::thread::hardware_concurrency();
  return std::clamp(wanted, 1U, kThreadsMax);
}

void check(const io::WritableFile& target, const WriteOptions& options) {
  const std::uint32_t size = options.block_size;
  if (size < kBlockSizeMin || size > kBlockSizeMax || !std::has_single_bit(size)) {
    throw io::FormatError(EINVAL, "block size " + std::to_string(size) +
                                      " is no power of two from " + std::to_string(kBlockSizeMin) +
                                      " to " + std::to_string(kBlockSizeMax));
  }
  if (target.size() != 0) throw io::FormatError(EEXIST, target.name() + ": is not empty");
}

}  // namespace

// A ring of batches, numbered as they are filled. Batches below `written_` are in the file; those
// up to `taken_` are compressed or being compressed; those up to `filling_` wait for a thread.
class Writer::Pipeline {
 public:
  Pipeline(io::WritableFile& target, const WriteOptions& options)
      : target_(target), options_(options), own_(options.algorithm) {
    const unsigned threads = threads_of(options);
    for (unsigned slot = 0; slot < 2 * threads + 1; ++slot) {
      ring_.emplace_back(options.block_size, options.has_sums);
    }
    for (unsigned worker = 1; worker < threads; ++worker) {
      compressors_.emplace_back(std::make_unique<Compressor>(options.algorithm));
    }
    write(format_header(first_header()));
    start_workers();
  }

  ~Pipeline() {
    {
      const std::lock_guard lock(mutex_);
      is_ending_ = true;
    }
    filled_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  std::span<std::byte> room() noexcept { return batch(filling_).room(); }

  int filled(std::size_t length) {
    batch(filling_).fill(length);
    content_size_ += length;
    if (batch(filling_).room().empty()) hand_over();
    return error_;
  }

  int finish(WriteSummary& summary) {
    if (batch(filling_).length() > 0) hand_over();
    while (written_ < filling_) write_oldest();
    Header trailer = first_header();
    trailer.flags = flags::data_file | flags::sealed | flags::has_digest;
    trailer.index_offset = offset_;
    trailer.block_count = lengths_.size();
    trailer.original_size = content_size_;
    const std::span<const std::byte> index = std::as_bytes(std::span(lengths_));
    trailer.index_sum = crc32c::update(0, index);
    write(index);
    write(format_header(trailer));
    if (options_.is_header_final && error_ == 0) {
      Header header = trailer;
      header.flags = first_header().flags | flags::header_is_final;
      error_ = target_.write(format_header(header), 0);
    }
    summary = {content_size_, offset_, lengths_.size(), longest_};
    return error_;
  }

 private:
  Header first_header() const {
    Header header;
    header.flags = flags::header | flags::data_file | flags::has_digest;
    header.block_size = options_.block_size;
    header.algorithm = static_cast<std::uint8_t>(options_.algorithm);
    header.has_sums = options_.has_sums ? 1 : 0;
    return header;
  }

  Batch& batch(std::uint64_t number) noexcept { return ring_[number % ring_.size()].batch; }

  void start_workers() {
    for (const std::unique_ptr<Compressor>& compressor : compressors_) {
      try {
        workers_.emplace_back([this, &compressor] { work(*compressor); });
      } catch (const std::system_error&) {
        // Fewer threads give the same file.
        return;
      }
    }
  }

  void work(Compressor& compressor) {
    std::unique_lock lock(mutex_);
    for (;;) {
      filled_.wait(lock, [this] { return is_ending_ || taken_ < handed_over_; });
      if (is_ending_) return;
      compress_next(compressor, lock);
    }
  }

  // Compresses the first batch that nobody has; the lock is free meanwhile.
  void compress_next(Compressor& compressor, std::unique_lock<std::mutex>& lock) {
    Slot& slot = ring_[taken_ % ring_.size()];
    taken_ += 1;
    lock.unlock();
    slot.batch.compress(compressor);
    lock.lock();
    slot.is_done = true;
    done_.notify_one();
  }

  // The batch that is being filled goes to the threads; there is an empty one to fill afterwards.
  void hand_over() {
    {
      const std::lock_guard lock(mutex_);
      handed_over_ += 1;
    }
    filled_.notify_one();
    filling_ += 1;
    while (is_oldest_done() || filling_ - written_ == ring_.size()) write_oldest();
  }

  bool is_oldest_done() {
    const std::lock_guard lock(mutex_);
    return written_ < filling_ && ring_[written_ % ring_.size()].is_done;
  }

  // Writes the oldest batch that is not written, helping until it is compressed.
  void write_oldest() {
    Slot& slot = ring_[written_ % ring_.size()];
    {
      std::unique_lock lock(mutex_);
      while (!slot.is_done) {
        if (taken_ < handed_over_) {
          compress_next(own_, lock);
        } else {
          done_.wait(lock);
        }
      }
      slot.is_done = false;
    }
    write(slot.batch.stored());
    for (const std::uint32_t length : slot.batch.lengths()) {
      lengths_.push_back(length);
      longest_ = std::max(longest_, length);
    }
    if (lengths_.size() > kBlockCountMax && error_ == 0) error_ = -EFBIG;
    slot.batch.clear();
    written_ += 1;
  }

  // After a failure nothing more is written.
  void write(std::span<const std::byte> bytes) {
    if (error_ == 0) error_ = target_.write(bytes, offset_);
    offset_ += bytes.size();
  }

  struct Slot {
    Slot(std::uint32_t block_size, bool has_sums) : batch(block_size, has_sums) {}
    Batch batch;
    bool is_done = false;
  };

  io::WritableFile& target_;
  const WriteOptions options_;
  Compressor own_;

  // Of the thread that appends alone.
  std::uint64_t filling_ = 0;
  std::uint64_t written_ = 0;
  std::uint64_t offset_ = 0;
  std::uint64_t content_size_ = 0;
  std::uint32_t longest_ = 0;
  std::vector<std::uint32_t> lengths_;
  int error_ = 0;

  std::mutex mutex_;
  std::condition_variable filled_;
  std::condition_variable done_;
  std::deque<Slot> ring_;  // whose batch is owned by one thread at a time
  std::uint64_t handed_over_ = 0;
  std::uint64_t taken_ = 0;
  bool is_ending_ = false;

  std::vector<std::unique_ptr<Compressor>> compressors_;
  std::vector<std::thread> workers_;
};

Writer::Writer(io::WritableFile& target, const WriteOptions& options) {
  check(target, options);
  pipeline_ = std::make_unique<Pipeline>(target, options);
}

Writer::~Writer() = default;

int Writer::append(std::span<const std::byte> content) {
  int error = 0;
  while (!content.empty() && error == 0) {
    const std::span<std::byte> free = room();
    const std::size_t length = std::min(free.size(), content.size());
    std::memcpy(free.data(), content.data(), length);
    content = content.subspan(length);
    error = filled(length);
  }
  return error;
}

std::span<std::byte> Writer::room() noexcept { return pipeline_->room(); }

int Writer::filled(std::size_t length) { return pipeline_->filled(length); }

int Writer::finish(WriteSummary& summary) { return pipeline_->finish(summary); }

int compress(const io::File& source, io::WritableFile& target, const WriteOptions& options,
             WriteSummary& summary, const std::function<void(std::uint64_t)>& progress) {
  Writer writer(target, options);
  const std::uint64_t size = source.size();
  for (std::uint64_t offset = 0; offset < size;) {
    const std::span<std::byte> room = writer.room();
    const std::size_t length = std::min<std::uint64_t>(room.size(), size - offset);
    if (const int error = source.read(room.first(length), offset); error != 0) return error;
    if (const int error = writer.filled(length); error != 0) return error;
    offset += length;
    if (progress) progress(offset);
  }
  return writer.finish(summary);
}

}  // namespace varve::zfile
