#include "apply/ext2_channel.h"

#include <cerrno>
#include <cstring>
#include <new>

namespace varve::apply {

namespace {

thread_local BlockCache* target = nullptr;

struct Channel {
  struct_io_channel base{};
  BlockCache* cache = nullptr;
  char name[6] = "varve";
};

Channel& channel_of(io_channel channel) { return *static_cast<Channel*>(channel->private_data); }

// Nothing may be thrown through libext2fs, which is C.
template <typename Call>
errcode_t guarded(Call call) noexcept {
  try {
    return -call();
  } catch (const std::bad_alloc&) {
    return EXT2_ET_NO_MEMORY;
  } catch (...) {
    return EIO;
  }
}

// A negative count is one of bytes.
std::size_t byte_count(io_channel channel, int count) {
  if (count < 0) return static_cast<std::size_t>(-static_cast<std::int64_t>(count));
  return static_cast<std::size_t>(count) * static_cast<std::size_t>(channel->block_size);
}

// Beyond any disk if the block number is.
std::uint64_t byte_offset(io_channel channel, unsigned long long block) {
  std::uint64_t offset = 0;
  const auto block_size = static_cast<std::uint64_t>(channel->block_size);
  return __builtin_mul_overflow(block, block_size, &offset) ? UINT64_MAX : offset;
}

errcode_t set_block_size(io_channel channel, int block_size) {
  if (block_size <= 0) return EINVAL;
  channel->block_size = block_size;
  return 0;
}

errcode_t read_blocks(io_channel channel, unsigned long long block, int count, void* data) {
  const std::span destination(static_cast<std::byte*>(data), byte_count(channel, count));
  return guarded([&] {
    return channel_of(channel).cache->read(destination, byte_offset(channel, block));
  });
}

errcode_t write_blocks(io_channel channel, unsigned long long block, int count,
                       const void* data) {
  const std::span source(static_cast<const std::byte*>(data), byte_count(channel, count));
  return guarded([&] {
    return channel_of(channel).cache->write(source, byte_offset(channel, block));
  });
}

errcode_t read_few_blocks(io_channel channel, unsigned long block, int count, void* data) {
  return read_blocks(channel, block, count, data);
}

errcode_t write_few_blocks(io_channel channel, unsigned long block, int count, const void* data) {
  return write_blocks(channel, block, count, data);
}

errcode_t write_bytes(io_channel channel, unsigned long offset, int count, const void* data) {
  if (count < 0) return EINVAL;
  const std::span source(static_cast<const std::byte*>(data), static_cast<std::size_t>(count));
  return guarded([&] { return channel_of(channel).cache->write(source, offset); });
}

// The owner of the cache says when it is written; libext2fs asks for it far too often.
errcode_t flush(io_channel /*channel*/) { return 0; }

errcode_t close(io_channel channel) {
  if (--channel->refcount > 0) return 0;
  delete &channel_of(channel);
  return 0;
}

errcode_t open(const char* /*name*/, int /*flags*/, io_channel* opened);

struct_io_manager make_manager() {
  struct_io_manager manager{};
  manager.magic = EXT2_ET_MAGIC_IO_MANAGER;
  manager.name = "varve";
  manager.open = open;
  manager.close = close;
  manager.set_blksize = set_block_size;
  manager.read_blk = read_few_blocks;
  manager.write_blk = write_few_blocks;
  manager.flush = flush;
  manager.write_byte = write_bytes;
  manager.read_blk64 = read_blocks;
  manager.write_blk64 = write_blocks;
  return manager;
}

struct_io_manager manager = make_manager();

errcode_t open(const char* /*name*/, int /*flags*/, io_channel* opened) {
  if (target == nullptr) return ENXIO;
  auto* channel = new (std::nothrow) Channel;
  if (channel == nullptr) return EXT2_ET_NO_MEMORY;
  channel->cache = target;
  channel->base.magic = EXT2_ET_MAGIC_IO_CHANNEL;
  channel->base.manager = &manager;
  channel->base.name = channel->name;
  channel->base.block_size = 1024;
  channel->base.refcount = 1;
  channel->base.private_data = channel;
  *opened = &channel->base;
  return 0;
}

}  // namespace

ChannelTarget::ChannelTarget(BlockCache& cache) { target = &cache; }
ChannelTarget::~ChannelTarget() { target = nullptr; }

io_manager channel_manager() noexcept { return &manager; }

}  // namespace varve::apply
