// Layers that are not on this machine, or only parts of them. A blob is a file with a bitmap of
// what is present and someone to ask for what is missing; readers of formats see an io::File.
// Nothing implements this yet: without a source, a layer that is only remote is refused.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "io/file.h"

namespace varve::image {

// What a configuration says about a blob, unchecked by anyone who could ask for it.
struct BlobReference {
  std::string repository_url;  // where blobs of the repository begin; never empty
  std::string digest;          // never empty
  std::uint64_t size = 0;      // 0: not known
  std::string directory;       // where the complete blob may be kept; empty: nowhere
};

class BlobSource {
 public:
  virtual ~BlobSource() = default;
  // Called from several threads. The file's reads may wait for the network; damage that its reader
  // finds is the reader's to tell. Throws io::FormatError.
  virtual std::unique_ptr<const io::File> open(const BlobReference& blob) = 0;
};

}  // namespace varve::image
