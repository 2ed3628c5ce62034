// Writing a layer into a tar archive of its own, as overlaybd lays it out: a pax header with the
// size (which is known last), the header of `overlaybd.commit`, the layer from 1536 on, two empty
// blocks.
//
// Until finish() the headers have no magic: what a writer that died left behind is no archive.
#pragma once

#include <string>
#include <vector>

#include "io/file.h"

namespace varve::tar {

class LayerWriter final : public io::WritableFile {
 public:
  // `target` has to be empty and to outlive this; throws FormatError.
  explicit LayerWriter(io::WritableFile& target);

  // The layer, without what is around it.
  [[nodiscard]] std::uint64_t size() const noexcept override;
  [[nodiscard]] const std::string& name() const noexcept override { return target_.name(); }
  [[nodiscard]] int read(std::span<std::byte> destination,
                         std::uint64_t offset) const noexcept override;
  [[nodiscard]] int write(std::span<const std::byte> source, std::uint64_t offset) override;
  [[nodiscard]] int resize(std::uint64_t size) override;
  [[nodiscard]] int sync() override { return target_.sync(); }
  [[nodiscard]] int punch_hole(const io::ByteRange& range) override;
  [[nodiscard]] int data_ranges(std::vector<io::ByteRange>& ranges) const override;

  // Completes the archive around what was written; nothing may be written afterwards. Does not
  // sync.
  [[nodiscard]] int finish();

 private:
  io::WritableFile& target_;
};

}  // namespace varve::tar
