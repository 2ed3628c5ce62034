// How libext2fs reads and writes: a channel onto a BlockCache.
#pragma once

#include <ext2fs/ext2fs.h>

#include "apply/block_cache.h"

namespace varve::apply {

// libext2fs opens a channel by name and knows no argument for it: between this object's beginning
// and end, the manager's channels of this thread lead to `cache`.
class ChannelTarget {
 public:
  explicit ChannelTarget(BlockCache& cache);
  ~ChannelTarget();
  ChannelTarget(const ChannelTarget&) = delete;
  ChannelTarget& operator=(const ChannelTarget&) = delete;
};

[[nodiscard]] io_manager channel_manager() noexcept;

}  // namespace varve::apply
