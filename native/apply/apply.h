// Applies the tar of an OCI layer to the ext4 on a disk, without the kernel: no mount, no device,
// no rights.
//
// The same tar on the same disk gives the same bytes, on any machine at any time. What a tar means
// is what docs/apply.md says. After an error the content of the disk is undefined.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "apply/apply_error.h"
#include "apply/block_store.h"
#include "apply/byte_stream.h"

namespace varve::apply {

struct ApplyOptions {
  // Makes an empty file system first.
  bool makes_file_system = false;
  // What the uncompressed tar's sum has to be, as "sha256:" and 64 digits; not looked at if empty.
  std::string checksum;
};

struct ApplyProgress {
  std::uint64_t tar_bytes = 0;  // uncompressed
  std::uint64_t entries = 0;
};
// Called often, on the calling thread; must not throw.
using ProgressListener = std::function<void(const ApplyProgress&)>;

struct ApplyResult {
  std::uint64_t tar_bytes = 0;
  std::uint64_t entries = 0;
  // Of the uncompressed tar, in hexadecimal digits; empty without a checksum in the options.
  std::string sha256;
  // Extended attributes that ext4 has no place for, as sentences; the first of them.
  std::vector<std::string> left_out;
  std::uint64_t left_out_count = 0;
};

// Whether a text is a checksum as the options have it.
[[nodiscard]] bool is_checksum(const std::string& text);

// `input` as it is, compressed or not; `name` is for messages. Throws ApplyError.
ApplyResult apply_tar(std::unique_ptr<ByteStream> input, const std::string& name,
                      BlockStore& store, const ApplyOptions& options,
                      const ProgressListener& progress = {});

}  // namespace varve::apply
