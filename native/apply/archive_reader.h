// Reads the members of a tar one after the other: ustar, pax, GNU and what came before them.
//
// Our own rather than libarchive: that converts the names of pax headers by the locale, and
// replaces what it cannot convert, while a layer's names are bytes that have to come out as they
// went in on any machine.
//
// Invariants: nothing is taken from the stream but in order; no size in a header makes a buffer
// larger than its bytes in the stream, up to a limit.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "apply/archive_entry.h"
#include "apply/pax_records.h"
#include "apply/read_ahead.h"
#include "tar/header.h"

namespace varve::apply {

class ArchiveReader {
 public:
  explicit ArchiveReader(ReadAhead& input) : input_(input) {}

  // The next member; empty at the end. What is left of the content of the one before is skipped.
  // Throws ApplyError.
  std::optional<ArchiveEntry> next();
  // The next stored bytes of the member's content; empty at its end.
  std::span<const std::byte> content();

  // Where the member that is being read begins, and its name as far as it is known; for messages.
  [[nodiscard]] std::uint64_t entry_offset() const noexcept { return entry_offset_; }
  [[nodiscard]] const std::string& entry_name() const noexcept { return entry_name_; }

 private:
  struct Extensions {
    std::vector<PaxRecord> records;  // later ones count
    std::string long_name;
    std::string long_link;
  };

  bool read_header(tar::Block& block);
  std::string read_extension(const tar::Block& block);
  bool take_extension(const tar::Block& block, Extensions& extensions);
  void add_global(std::vector<PaxRecord> records);
  ArchiveEntry make_entry(const tar::Block& block, const Extensions& extensions);
  void apply_records(const std::vector<PaxRecord>& records, ArchiveEntry& entry);
  void take_content(const tar::Block& block, const Extensions& extensions, ArchiveEntry& entry);
  void skip(std::uint64_t count);

  ReadAhead& input_;
  std::vector<PaxRecord> global_records_;
  std::uint64_t entry_offset_ = 0;
  std::string entry_name_;
  std::uint64_t rest_ = 0;     // of the member's content
  std::uint64_t padding_ = 0;  // behind it
};

}  // namespace varve::apply
