#include "test/apply/tar_builder.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <stdexcept>

namespace varve::test {

namespace {

constexpr std::size_t kBlock = 512;

std::string padded(std::string bytes) {
  bytes.resize((bytes.size() + kBlock - 1) / kBlock * kBlock);
  return bytes;
}

std::string octal(std::uint64_t number, std::size_t digits) {
  std::string text(digits, '0');
  for (std::size_t at = digits; at > 0; --at, number /= 8) {
    text[at - 1] = static_cast<char>('0' + number % 8);
  }
  return text;
}

void put(std::string& block, std::size_t offset, const std::string& bytes) {
  block.replace(offset, bytes.size(), bytes);
}

void put_sum(std::string& block) {
  put(block, 148, std::string(8, ' '));
  unsigned sum = 0;
  for (const char byte : block) sum += static_cast<unsigned char>(byte);
  put(block, 148, octal(sum, 6) + std::string("\0 ", 2));
}

std::string header(const Member& member, std::uint64_t stored) {
  std::string block(kBlock, '\0');
  put(block, 0, member.path.substr(0, 100));
  put(block, 100, octal(member.mode, 7));
  put(block, 108, octal(member.uid & 07777777, 7));
  put(block, 116, octal(member.gid & 07777777, 7));
  put(block, 124, octal(stored, 11));
  put(block, 136, octal(member.seconds < 0 ? 0 : static_cast<std::uint64_t>(member.seconds), 11));
  block[156] = member.type;
  put(block, 157, member.link.substr(0, 100));
  put(block, 257, std::string("ustar\00000", 8));
  put(block, 329, octal(member.major, 7));
  put(block, 337, octal(member.minor, 7));
  put_sum(block);
  return block;
}

std::string records_of(const Member& member) {
  std::string records;
  if (member.path.size() > 100) records += pax_record("path", member.path);
  if (member.link.size() > 100) records += pax_record("linkpath", member.link);
  if (member.uid > 07777777) records += pax_record("uid", std::to_string(member.uid));
  if (member.gid > 07777777) records += pax_record("gid", std::to_string(member.gid));
  if (member.nanoseconds != 0 || member.seconds < 0) {
    char text[64];
    std::snprintf(text, sizeof text, "%lld.%09u", static_cast<long long>(member.seconds),
                  member.nanoseconds);
    records += pax_record("mtime", text);
  }
  for (const auto& [name, value] : member.xattrs) {
    records += pax_record("SCHILY.xattr." + name, value);
  }
  return records;
}

std::string base256(std::uint64_t number, std::size_t length) {
  std::string bytes(length, '\0');
  for (std::size_t at = length; at > 1; --at, number >>= 8) {
    bytes[at - 1] = static_cast<char>(number & 0xff);
  }
  bytes[0] = static_cast<char>(0x80);
  return bytes;
}

}  // namespace

std::string pax_record(const std::string& key, const std::string& value) {
  const std::size_t rest = key.size() + value.size() + 3;
  std::size_t length = rest + 1;
  while (rest + std::to_string(length).size() != length) ++length;
  return std::to_string(length) + " " + key + "=" + value + "\n";
}

Member entry(const std::string& path, char type, const std::string& link) {
  Member member{path};
  member.type = type;
  member.link = link;
  if (type == '0') member.content = "content of " + path;
  return member;
}

std::string layer(const std::vector<Member>& members) {
  TarBuilder tar;
  for (const Member& member : members) tar.add(member);
  return tar.finish();
}

TarBuilder& TarBuilder::add(const Member& member) {
  if (const std::string records = records_of(member); !records.empty()) add_records(records);
  bytes_ += header(member, member.content.size()) + padded(member.content);
  return *this;
}

TarBuilder& TarBuilder::add_records(const std::string& records, char type) {
  Member member{"PaxHeaders/0"};
  member.type = type;
  bytes_ += header(member, records.size()) + padded(records);
  return *this;
}

TarBuilder& TarBuilder::add_long(char type, const std::string& name) {
  Member member{"././@LongLink"};
  member.type = type;
  bytes_ += header(member, name.size() + 1) + padded(name + '\0');
  return *this;
}

TarBuilder& TarBuilder::add_altered(const Member& member, const Alterations& alterations) {
  std::string block = header(member, member.content.size());
  for (const auto& [offset, bytes] : alterations) put(block, offset, bytes);
  put_sum(block);
  bytes_ += block + padded(member.content);
  return *this;
}

TarBuilder& TarBuilder::add_raw(const std::string& bytes) {
  bytes_ += bytes;
  return *this;
}

TarBuilder& TarBuilder::add_sparse(Member member, std::uint64_t size, const Parts& parts,
                                   const std::string& version) {
  std::string data;
  for (const auto& part : parts) data += part.second;
  if (version == "old") {
    member.type = 'S';
    std::string block = header(member, data.size());
    std::string numbers;
    for (const auto& [offset, bytes] : parts) {
      numbers += base256(offset, 12) + base256(bytes.size(), 12);
    }
    put(block, 257, std::string("ustar  \0", 8));
    put(block, 386, numbers.substr(0, 96));
    put(block, 483, base256(size, 12));
    std::string more = numbers.size() > 96 ? numbers.substr(96) : "";
    block[482] = more.empty() ? '\0' : '\1';
    put_sum(block);
    bytes_ += block;
    while (!more.empty()) {
      std::string extension(kBlock, '\0');
      put(extension, 0, more.substr(0, 504));
      more.erase(0, 504);
      extension[504] = more.empty() ? '\0' : '\1';
      bytes_ += extension;
    }
    bytes_ += padded(data);
    return *this;
  }
  std::string records = records_of(member);
  std::string list;
  std::string lines = std::to_string(parts.size()) + "\n";
  for (const auto& [offset, bytes] : parts) {
    const std::string length = std::to_string(bytes.size());
    list += (list.empty() ? "" : ",") + std::to_string(offset) + "," + length;
    lines += std::to_string(offset) + "\n" + length + "\n";
  }
  if (version == "0.0") {
    records += pax_record("GNU.sparse.size", std::to_string(size)) +
               pax_record("GNU.sparse.numblocks", std::to_string(parts.size()));
    for (const auto& [offset, bytes] : parts) {
      records += pax_record("GNU.sparse.offset", std::to_string(offset)) +
                 pax_record("GNU.sparse.numbytes", std::to_string(bytes.size()));
    }
  } else {
    records += pax_record("GNU.sparse.name", member.path);
    records += version == "0.1" ? pax_record("GNU.sparse.size", std::to_string(size)) +
                                      pax_record("GNU.sparse.numblocks",
                                                 std::to_string(parts.size())) +
                                      pax_record("GNU.sparse.map", list)
                                : pax_record("GNU.sparse.major", "1") +
                                      pax_record("GNU.sparse.minor", "0") +
                                      pax_record("GNU.sparse.realsize", std::to_string(size));
    if (version == "1.0") data = padded(lines) + data;
    member.path = "GNUSparseFile.0/x";
  }
  add_records(records);
  bytes_ += header(member, data.size()) + padded(data);
  return *this;
}

std::string gzip(const std::string& bytes) {
  z_stream stream{};
  if (::deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::runtime_error("deflateInit2");
  }
  std::string compressed(::deflateBound(&stream, bytes.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(compressed.data());
  stream.avail_out = static_cast<uInt>(compressed.size());
  ::deflate(&stream, Z_FINISH);
  compressed.resize(stream.total_out);
  ::deflateEnd(&stream);
  return compressed;
}

std::string zstd(const std::string& bytes) {
  std::string compressed(::ZSTD_compressBound(bytes.size()), '\0');
  compressed.resize(
      ::ZSTD_compress(compressed.data(), compressed.size(), bytes.data(), bytes.size(), 3));
  return compressed;
}

namespace {

class MemoryStream final : public apply::ByteStream {
 public:
  explicit MemoryStream(std::string bytes) : bytes_(std::move(bytes)) {}
  std::size_t read(std::span<std::byte> destination) override {
    const std::size_t length = std::min(destination.size(), bytes_.size() - used_);
    std::memcpy(destination.data(), bytes_.data() + used_, length);
    used_ += length;
    return length;
  }

 private:
  std::string bytes_;
  std::size_t used_ = 0;
};

}  // namespace

std::unique_ptr<apply::ByteStream> stream_of(std::string bytes) {
  return std::make_unique<MemoryStream>(std::move(bytes));
}

}  // namespace varve::test
