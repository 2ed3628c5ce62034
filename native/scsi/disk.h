// A SCSI disk whose content is a BlockDevice. No descriptors and no threads here: a command comes
// in as bytes with the area of its data, and how it ended goes out. Commands are checked like any
// input; what this disk does not know is refused as such.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "scsi/data_area.h"
#include "scsi/outcome.h"
#include "scsi/pages.h"
#include "transport/block_device.h"

namespace varve::scsi {

// The most bytes that a command descriptor block has.
inline constexpr std::size_t kCommandBytesMax = 260;

// How long a command is whose first bytes these are, at most 16 of a group that is not defined.
[[nodiscard]] std::size_t command_length(std::span<const std::byte> bytes) noexcept;

class Disk {
 public:
  // Without content every command that needs it is answered "not ready, somebody has to help".
  Disk(std::shared_ptr<transport::BlockDevice> content, Identity identity);

  // Carries a command out, for several threads at once, each with a buffer of its own: of at least
  // 64 KiB and a multiple of the size of a block.
  [[nodiscard]] Outcome execute(std::span<const std::byte> command, DataArea& data,
                                std::span<std::byte> buffer) noexcept;

  // The content's size has changed: whoever asks next is told.
  void tell_of_size() noexcept { has_new_size_ = true; }

 private:
  struct Call;
  struct Blocks {
    std::uint64_t first = 0;
    std::uint64_t count = 0;
  };

  Outcome dispatch(const Call& call);
  Outcome inquiry(const Call& call) const;
  Outcome mode_sense(const Call& call, bool is_long) const;
  Outcome mode_select(const Call& call, bool is_long) const;
  Outcome read_capacity(const Call& call, bool is_long) const;
  Outcome report_luns(const Call& call) const;
  Outcome request_sense(const Call& call) const;
  Outcome read(const Call& call, Blocks blocks) const;
  Outcome write(const Call& call, Blocks blocks) const;
  Outcome verify(const Call& call, Blocks blocks) const;
  Outcome synchronize(Blocks blocks) const;
  Outcome unmap(const Call& call) const;
  Outcome write_same(const Call& call, Blocks blocks) const;
  Outcome write_pattern(const Call& call, Blocks blocks, std::span<const std::byte> block) const;

  [[nodiscard]] std::uint64_t block_count() const noexcept;
  [[nodiscard]] bool is_inside(Blocks blocks) const noexcept;

  std::shared_ptr<transport::BlockDevice> content_;
  Identity identity_;
  std::atomic<bool> has_new_size_ = false;
};

}  // namespace varve::scsi
