// An ext4 file system on a BlockCache, opened for change or made anew.
//
// Nothing in it depends on the clock, the environment or chance: times that no tar says are fixed,
// and so are the uuid and the hash seed of one that is made here.
#pragma once

#include <ext2fs/ext2fs.h>

#include <memory>

#include "apply/block_cache.h"

namespace varve::apply {

// The time of what no tar says a time for, seconds; not 0, which libext2fs takes for "now".
inline constexpr std::uint32_t kFixedTime = 1;

class Volume {
 public:
  // Refuses a file system that is not ext4, is damaged, was not unmounted, or has a feature that
  // this library would break. Throws ApplyError.
  static Volume open(BlockCache& cache);
  // An empty ext4 over all of the disk. Throws ApplyError.
  static Volume make(BlockCache& cache);

  [[nodiscard]] ext2_filsys fs() const noexcept { return fs_.get(); }
  [[nodiscard]] BlockCache& cache() const noexcept { return *cache_; }
  [[nodiscard]] std::uint32_t block_size() const noexcept { return fs_->blocksize; }

  // Writes bitmaps, group descriptors and the superblock, then everything to the disk.
  void flush();

 private:
  struct Free {
    // Without a word to the disk: what is not flushed by then is not wanted.
    void operator()(ext2_filsys fs) const noexcept { ext2fs_free(fs); }
  };
  Volume(BlockCache& cache, ext2_filsys fs) : cache_(&cache), fs_(fs) {}

  BlockCache* cache_;
  std::unique_ptr<struct_ext2_filsys, Free> fs_;
};

}  // namespace varve::apply
