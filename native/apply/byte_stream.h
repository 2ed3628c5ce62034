// Bytes that come one after the other: a file, a pipe, what a decompressor makes of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace varve::apply {

class ByteStream {
 public:
  virtual ~ByteStream() = default;

  // Fills as much of `destination` as there is, all of it but at the end; returns how much. Throws
  // ApplyError.
  virtual std::size_t read(std::span<std::byte> destination) = 0;
};

// Reads from a descriptor, which it closes: a file, a pipe, a socket.
std::unique_ptr<ByteStream> open_stream(int descriptor, const std::string& name);
// Opens a file or a named pipe; `-` is the standard input.
std::unique_ptr<ByteStream> open_stream(const std::string& path);

// What the bytes are shows in the first of them: gzip, zstd, else as they are. Concatenated members
// and frames are one stream. `name` is for messages.
std::unique_ptr<ByteStream> decompress(std::unique_ptr<ByteStream> source,
                                       const std::string& name);

}  // namespace varve::apply
