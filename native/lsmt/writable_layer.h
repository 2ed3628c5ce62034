// A layer that is being written: a data file and an index file.
//
// Append-only: data goes to the end of the data file, and each write adds an entry to the index
// file, later ones before earlier ones. Sparse: the data file holds the disk as it is, behind the
// header. Upstream takes the holes of a sparse file for its index, which makes a write of less than
// a block of the file system hide its neighbours and forgets discards; here the index file holds
// entries for sparse layers too. One that is empty, as upstream leaves it, is filled from the holes.
//
// Invariants: an entry is written after its data and before the write is answered, so what was
// answered survives the death of this process; flush makes data durable before entries, so what was
// flushed survives the loss of power. Of writes that nobody flushed, the kernel may write the entry
// back before the data: LostData is for these. Positions are tracked here, never taken from a file's end: a
// torn append is written over by the next one. Safe from several threads; writes to the same
// sectors at the same time end in one order or the other.
#pragma once

#include <atomic>
#include <memory>
#include <shared_mutex>
#include <string>
#include <vector>

#include "io/file.h"
#include "lsmt/header.h"
#include "lsmt/layer_writer.h"
#include "lsmt/read_only_stack.h"
#include "lsmt/writable_index.h"

namespace varve::lsmt {

struct NewLayer {
  std::uint64_t virtual_size = 0;  // bytes
  bool is_sparse = false;
  Uuid uuid{};  // a random one if empty
  Uuid parent_uuid{};
  std::string user_tag{};
};

// What to do with entries whose data lies behind the end of the data file. A loss of power leaves
// them when writes were under way that nobody had flushed; so does a data file that was cut off.
enum class LostData { kRefuse, kDrop };

// Whether an index file is a placeholder, or its writing broke off before its header, which comes
// last: the holes of a sparse layer count then. Throws io::FormatError.
[[nodiscard]] bool is_blank_index(const io::File& index);

// By what an index's header shows that it belongs to another data file; empty for two that belong
// together. Whoever makes a writable layer gives both files one uuid and one parent, also upstream.
[[nodiscard]] std::string pair_defect(const Header& data, const Header& index);

// Whether a data file is a finished layer already, sealed in place. Throws io::FormatError.
[[nodiscard]] bool was_sealed(const io::File& data);

class WritableLayer {
 public:
  // Writes the headers into two empty files. Throws io::FormatError.
  static std::unique_ptr<WritableLayer> create(std::unique_ptr<io::WritableFile> data,
                                               std::unique_ptr<io::WritableFile> index,
                                               const NewLayer& layer);
  // Throws io::FormatError.
  static std::unique_ptr<WritableLayer> open(std::unique_ptr<io::WritableFile> data,
                                             std::unique_ptr<io::WritableFile> index,
                                             LostData lost_data = LostData::kRefuse);

  [[nodiscard]] std::uint64_t virtual_size() const noexcept { return virtual_size_; }
  [[nodiscard]] bool is_sparse() const noexcept { return header_.is_sparse; }
  // Of the data file; its virtual size is that of the last resize.
  [[nodiscard]] Header header() const;
  [[nodiscard]] const io::File& data() const noexcept { return *data_; }
  // How many entries LostData::kDrop left out.
  [[nodiscard]] std::uint64_t dropped_entries() const noexcept { return dropped_entries_; }

  // What the layer lies on, null for nothing; tell it before the first change. Zeros are recorded
  // only where something else would be read without them, which bounds them by the data that there
  // is. Until it is told, anything may lie below.
  void lies_on(std::shared_ptr<const ReadOnlyStack> below);

  // The mappings of a range, cut to it. What they point at stays readable, whatever is written.
  void find(SectorRange range, Found& found) const;
  [[nodiscard]] std::size_t mapping_count() const;

  // Offset and length are multiples of a sector (-EINVAL) and inside of the disk (-ENOSPC). 0 or a
  // negative errno; -EROFS once sealed.
  [[nodiscard]] int write(std::span<const std::byte> source, std::uint64_t offset);
  // The range reads as zeros from then on, whatever lies below.
  [[nodiscard]] int discard(const io::ByteRange& range);
  // The same, and a later write to the range needs no space: in a sparse layer it keeps or gets its
  // blocks and counts as data. An append-only layer needs new space for every write, so there it is
  // a discard.
  [[nodiscard]] int write_zeroes(const io::ByteRange& range);
  // Everything answered before is durable afterwards.
  [[nodiscard]] int flush();

  // A new size, kept in the files. What a smaller disk cuts off reads as zeros if it grows again.
  [[nodiscard]] int resize(std::uint64_t virtual_size);

  // Writes what the layer holds as a finished layer. Without a size or a parent in `options` it has
  // this layer's; without a uuid or a user tag it has none, as upstream's commits. Nothing may be
  // written to it meanwhile.
  void commit(LayerOptions options, const Output& output) const;
  // Makes the data file a finished layer. Nothing can be written afterwards. Throws io::FormatError,
  // EFBIG for more mappings than readers take; until it returns the layer is what it was.
  void seal();

 private:
  WritableLayer(std::unique_ptr<io::WritableFile> data, std::unique_ptr<io::WritableFile> index);

  void load_entries(LostData lost_data);
  void load_holes();
  // Whether the entry may stay; throws if it must not be there at all.
  bool check_entry(const Mapping& entry, std::uint64_t number, std::uint64_t data_sectors,
                   LostData lost_data);
  void check_sparse_end(std::uint64_t data_sectors) const;
  int write_whole_index();
  int erase_lost_entries();
  int sync_files();
  int put(const Mapping& mapping);
  int write_piece(std::span<const std::byte> source, std::uint64_t offset);
  int write_in_place(std::span<const std::byte> source, std::uint64_t offset);
  int append(std::span<const std::byte> source, std::uint64_t offset);
  int discard_locked(const io::ByteRange& range);
  // The first sector of a range that may hold something else than zeros; its end if none does.
  [[nodiscard]] std::uint64_t first_data(SectorRange range) const;
  [[nodiscard]] std::uint64_t first_data_below(SectorRange range) const;
  [[nodiscard]] MappingArray mappings_to_finish() const;
  [[nodiscard]] int check_range(std::uint64_t offset, std::uint64_t length) const;

  std::unique_ptr<io::WritableFile> data_;
  std::unique_ptr<io::WritableFile> index_file_;
  Header header_;                                // as opened; never written again
  std::atomic<std::uint64_t> virtual_size_ = 0;  // what resize changes
  std::uint64_t dropped_entries_ = 0;
  bool is_below_known_ = false;
  std::shared_ptr<const ReadOnlyStack> below_;

  mutable std::shared_mutex mutex_;  // all below
  WritableIndex index_;
  std::uint64_t data_end_ = 0;   // where the next append goes
  std::uint64_t index_end_ = 0;  // where the next entry goes; 0: the index file is still empty
  std::vector<std::uint64_t> lost_entries_;  // dropped, and still in the index file
  bool is_sealed_ = false;
};

}  // namespace varve::lsmt
