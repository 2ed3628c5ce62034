#include "tools/zfile_check.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "crc32c/crc32c.h"
#include "io/bytes.h"
#include "tools/amounts.h"
#include "tools/work_in_order.h"
#include "zfile/codec.h"
#include "zfile/format.h"

namespace varve::tools {

namespace {

using zfile::Header;
using zfile::kHeaderSize;

std::string sums_text(std::uint32_t actual, std::uint32_t expected) {
  return "is " + io::hexadecimal(actual) + ", expected " + io::hexadecimal(expected);
}

std::string unreadable(int error) { return "cannot be read: " + io::error_text(-error); }

class Check {
 public:
  Check(const io::File& file, const Place& place,
        const std::function<void(std::uint64_t)>& progress)
      : file_(file), place_(place), progress_(progress) {}

  ZFileCheck run() {
    const std::optional<Header> header = read_end(0, "header");
    if (!header) return result_;
    if (!header->has(zfile::flags::data_file)) {
      place_.defect(32, "the ZFile header is not that of a data file");
    }
    const std::optional<Header> trailer = read_trailer();
    const bool is_final = header->has(zfile::flags::header_is_final);
    const std::optional<Header>& counts = is_final ? header : trailer;
    if (!counts) return result_;
    if (is_final && trailer) compare(*header, *trailer);
    const std::uint64_t index_end = file_.size() - (is_final && !trailer ? 0 : kHeaderSize);
    const std::string defect = zfile::defect_of(*counts, index_end);
    if (!defect.empty()) {
      place_.defect(is_final ? 0 : trailer_offset(), "the ZFile cannot be: " + defect);
      return result_;
    }
    if (counts->block_count > zfile::kBlockCountMax) {
      place_.defect(is_final ? 0 : trailer_offset(),
                    "no reader takes " + std::to_string(counts->block_count) + " blocks");
      return result_;
    }
    header_ = *counts;
    check_index(index_end);
    return result_;
  }

 private:
  [[nodiscard]] std::uint64_t trailer_offset() const { return file_.size() - kHeaderSize; }

  // A header or trailer with its digest checked.
  std::optional<Header> read_end(std::uint64_t offset, const char* what) {
    zfile::HeaderBytes bytes;
    if (const int error = file_.read(bytes, offset); error != 0) {
      place_.defect(offset, std::string("the ZFile ") + what + " " + unreadable(error));
      return std::nullopt;
    }
    if (!zfile::has_magic(bytes)) {
      place_.defect(offset, std::string("there is no ZFile ") + what + ": its magic is missing");
      return std::nullopt;
    }
    const Header header = zfile::parse_header(bytes);
    if (header.has(zfile::flags::has_digest)) {
      const std::uint32_t actual = zfile::digest_of(bytes);
      if (actual != header.digest) {
        place_.defect(offset, std::string("the digest of the ZFile ") + what + " " +
                                  sums_text(actual, header.digest));
      }
    } else {
      place_.note(offset, std::string("the ZFile ") + what + " has no digest");
    }
    return header;
  }

  std::optional<Header> read_trailer() {
    if (file_.size() < 2 * kHeaderSize) {
      place_.defect(0, "the file is too short for a ZFile trailer");
      return std::nullopt;
    }
    std::optional<Header> trailer = read_end(trailer_offset(), "trailer");
    if (!trailer) return trailer;
    if (trailer->has(zfile::flags::header) || !trailer->has(zfile::flags::data_file) ||
        !trailer->has(zfile::flags::sealed)) {
      place_.defect(trailer_offset() + 32,
                    "the flags are not those of the trailer of a sealed "
                    "ZFile");
      return std::nullopt;
    }
    return trailer;
  }

  // Both describe the same file.
  void compare(const Header& header, const Header& trailer) {
    const bool is_same =
        header.index_offset == trailer.index_offset && header.block_count == trailer.block_count &&
        header.original_size == trailer.original_size && header.index_sum == trailer.index_sum &&
        header.block_size == trailer.block_size && header.algorithm == trailer.algorithm &&
        header.has_sums == trailer.has_sums && header.dictionary_size == trailer.dictionary_size;
    if (!is_same) place_.defect(trailer_offset(), "ZFile header and trailer describe two files");
  }

  struct Defect {
    std::uint64_t offset = 0;
    std::string text;
  };

  // By pieces: how many entries there are is a claim, so memory follows those that can be.
  void check_index(std::uint64_t index_end) {
    constexpr std::uint64_t piece_max = kMib / sizeof(std::uint32_t);
    const std::uint64_t size = header_.block_count * sizeof(std::uint32_t);
    const bool has_digest = header_.has(zfile::flags::has_digest);
    std::vector<std::uint32_t> entries(std::min(piece_max, header_.block_count));
    std::vector<std::uint32_t> lengths;
    std::optional<Defect> defect;
    std::uint32_t actual = 0;
    blocks_end_ = header_.data_offset();
    for (std::uint64_t first = 0; first < header_.block_count; first += piece_max) {
      const std::span<std::uint32_t> piece =
          std::span(entries).first(std::min(piece_max, header_.block_count - first));
      const std::span<std::byte> bytes = std::as_writable_bytes(piece);
      const int error = file_.read(bytes, header_.index_offset + first * sizeof(std::uint32_t));
      if (error != 0) {
        place_.defect(header_.index_offset, "the ZFile index " + unreadable(error));
        return;
      }
      actual = crc32c::update(actual, bytes);
      if (!defect) defect = take_lengths(piece, lengths);
      if (defect && !has_digest) break;
    }
    if (header_.index_offset + size != index_end) {
      place_.defect(header_.index_offset + size,
                    "there are " + size_text(index_end - header_.index_offset - size) +
                        " that belong to nothing behind the ZFile index");
    }
    if (has_digest && actual != header_.index_sum) {
      place_.defect(header_.index_offset,
                    "the checksum of the ZFile index " + sums_text(actual, header_.index_sum) +
                        "; the blocks are not checked, since it says where they are");
    } else if (defect) {
      place_.defect(defect->offset, std::move(defect->text));
    } else {
      if (blocks_end_ != header_.index_offset) {
        place_.defect(blocks_end_, "the blocks end " +
                                       size_text(header_.index_offset - blocks_end_) +
                                       " before the ZFile index");
      }
      result_.is_readable = true;
      check_blocks(lengths);
    }
  }

  // Moves lengths that can be; the first that cannot is a defect.
  std::optional<Defect> take_lengths(std::span<const std::uint32_t> piece,
                                     std::vector<std::uint32_t>& lengths) {
    const std::uint32_t sum_size = header_.has_sums != 0 ? zfile::kSumSize : 0;
    const std::uint32_t longest = header_.block_size + zfile::kExpansionMax + sum_size;
    const auto defect = [&](const std::string& text) {
      return Defect{header_.index_offset + lengths.size() * sizeof(std::uint32_t),
                    "block " + std::to_string(lengths.size()) + text};
    };
    for (const std::uint32_t length : piece) {
      if (length <= sum_size || length > longest) {
        return defect(" cannot have " + count_text(length, "byte"));
      }
      if (length > header_.index_offset - blocks_end_) {
        return defect(" at " + std::to_string(blocks_end_) + " reaches into the ZFile index");
      }
      blocks_end_ += length;
      lengths.push_back(length);
    }
    return std::nullopt;
  }

  // Neighbouring blocks that are checked at once.
  struct Piece {
    std::size_t first_block = 0;
    std::uint64_t offset = 0;
    std::span<const std::uint32_t> lengths{};
    std::size_t size = 0;
  };

  struct Checked {
    std::uint64_t end = 0;
    std::uint64_t blocks = 0;
    std::vector<Defect> defects{};
    // Memory to work with.
    std::vector<std::byte> stored{};
    std::vector<std::byte> content{};
    zfile::Decompressor decompressor{};
  };

  void check_blocks(std::span<const std::uint32_t> lengths) {
    constexpr std::size_t kPieceMax = 4 * kMib;
    if (header_.has_sums == 0) {
      place_.note(0, "blocks have no checksums: that they decompress is all that can be checked");
    }
    std::size_t block = 0;
    std::uint64_t offset = header_.data_offset();
    work_in_order<Checked>(
        [&]() -> std::optional<Piece> {
          if (block == lengths.size()) return std::nullopt;
          Piece piece{block, offset};
          std::size_t end = block;
          while (end < lengths.size() && piece.size + lengths[end] <= kPieceMax) {
            piece.size += lengths[end++];
          }
          piece.lengths = lengths.subspan(block, end - block);
          block = end;
          offset += piece.size;
          return piece;
        },
        [this](const Piece& piece, Checked& checked) { check_piece(piece, checked); },
        [this](Checked& checked) {
          result_.blocks += checked.blocks;
          for (Defect& defect : checked.defects) place_.defect(defect.offset, defect.text);
          progress_(checked.end);
        });
  }

  void check_piece(const Piece& piece, Checked& checked) const {
    checked.end = piece.offset + piece.size;
    checked.blocks = 0;
    checked.defects.clear();
    checked.stored.resize(std::max(checked.stored.size(), piece.size));
    checked.content.resize(header_.block_size);
    const std::span<std::byte> bytes = std::span(checked.stored).first(piece.size);
    const int error = file_.read(bytes, piece.offset);
    std::size_t at = 0;
    for (std::size_t number = 0; number < piece.lengths.size(); ++number) {
      const std::uint64_t block = piece.first_block + number;
      const std::span<std::byte> stored = bytes.subspan(at, piece.lengths[number]);
      const std::uint64_t offset = piece.offset + at;
      // Of a piece that cannot be read, perhaps most can.
      const int own_error = error == 0 ? 0 : file_.read(stored, offset);
      std::string defect;
      if (own_error != 0) {
        defect = name_of(block) + " " + unreadable(own_error);
      } else {
        ++checked.blocks;
        defect = defect_of_block(block, stored, checked.content, checked.decompressor);
      }
      if (!defect.empty()) checked.defects.push_back({offset, std::move(defect)});
      at += stored.size();
    }
  }

  [[nodiscard]] std::string name_of(std::uint64_t block) const {
    return "block " + std::to_string(block) + " (content from " +
           std::to_string(block * header_.block_size) + " on)";
  }

  // Empty if there is none.
  [[nodiscard]] std::string defect_of_block(std::uint64_t block, std::span<const std::byte> stored,
                                            std::span<std::byte> content,
                                            zfile::Decompressor& decompressor) const {
    if (header_.has_sums != 0) {
      const std::span<const std::byte> sum = stored.last(zfile::kSumSize);
      stored = stored.first(stored.size() - zfile::kSumSize);
      const auto expected = io::load<std::uint32_t>(sum.data());
      const std::uint32_t actual = crc32c::update(zfile::kBlockSumStart, stored);
      if (actual != expected) {
        return "the checksum of " + name_of(block) + " " + sums_text(actual, expected);
      }
    }
    const std::uint64_t begin = block * header_.block_size;
    const std::size_t length =
        std::min<std::uint64_t>(header_.block_size, header_.original_size - begin);
    const int error = decompressor.decompress(static_cast<zfile::Algorithm>(header_.algorithm),
                                              stored, content.first(length));
    if (error == 0) return {};
    return name_of(block) + " does not decompress to its " + count_text(length, "byte");
  }

  const io::File& file_;
  const Place& place_;
  const std::function<void(std::uint64_t)>& progress_;
  Header header_;
  std::uint64_t blocks_end_ = 0;
  ZFileCheck result_;
};

}  // namespace

ZFileCheck check_zfile(const io::File& file, const Place& place,
                       const std::function<void(std::uint64_t)>& progress) {
  return Check(file, place, progress).run();
}

}  // namespace varve::tools
