// A disk in a file to apply layers to, and what the kernel shows of it.
#pragma once

#include <optional>
#include <string>

#include "apply/apply.h"
#include "test/apply/tar_builder.h"
#include "test/apply/volume_files.h"
#include "test/layer_fixtures.h"
#include "test/temporary_directory.h"

namespace varve::test {

class ApplyTestCase : public TemporaryDirectory {
 protected:
  [[nodiscard]] std::string image() const { return at("disk"); }
  void make_disk(std::uint64_t size) const;

  // Throws apply::ApplyError.
  apply::ApplyResult apply(const std::string& tar, bool makes_file_system = false,
                           const std::string& checksum = "") const;
  // The text of what is thrown, "" if nothing is.
  [[nodiscard]] std::string refusal(const std::string& tar) const;
  // A disk of 64 MiB with an empty file system.
  void make_empty() const;

  // What the kernel shows, after e2fsck has found nothing.
  [[nodiscard]] Listing files() const;
};

}  // namespace varve::test
