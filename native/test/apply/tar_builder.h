// Archives for tests, member by member, in each of the ways that tar has to say a thing.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "apply/byte_stream.h"

namespace varve::test {

struct Member {
  std::string path;
  char type = '0';
  std::string content{};
  std::string link{};
  unsigned mode = 0644;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::int64_t seconds = 1'700'000'000;
  std::uint32_t nanoseconds = 0;
  unsigned major = 0;
  unsigned minor = 0;
  std::map<std::string, std::string> xattrs{};
};

// A member with the content "content of PATH", if its type has content.
Member entry(const std::string& path, char type = '0', const std::string& link = "");

class TarBuilder {
 public:
  // A pax header says what does not fit into ustar's.
  TarBuilder& add(const Member& member);
  // A member whose content are these parts; of `size` bytes.
  using Parts = std::vector<std::pair<std::uint64_t, std::string>>;
  TarBuilder& add_sparse(Member member, std::uint64_t size, const Parts& parts,
                         const std::string& version);
  // Records as they are, in front of the next member.
  TarBuilder& add_records(const std::string& records, char type = 'x');
  // GNU's way to say a long name ('L') or link ('K').
  TarBuilder& add_long(char type, const std::string& name);
  // A header whose fields are altered before its sum is taken: what stands where.
  using Alterations = std::vector<std::pair<std::size_t, std::string>>;
  TarBuilder& add_altered(const Member& member, const Alterations& alterations);
  TarBuilder& add_altered(const Member& member, std::size_t offset, const std::string& bytes) {
    return add_altered(member, Alterations{{offset, bytes}});
  }
  TarBuilder& add_raw(const std::string& bytes);

  [[nodiscard]] const std::string& without_end() const { return bytes_; }
  [[nodiscard]] std::string finish() const { return bytes_ + std::string(1024, '\0'); }

 private:
  std::string bytes_;
};

std::string layer(const std::vector<Member>& members);

std::string pax_record(const std::string& key, const std::string& value);

std::string gzip(const std::string& bytes);
std::string zstd(const std::string& bytes);

// Bytes as a stream.
std::unique_ptr<apply::ByteStream> stream_of(std::string bytes);

}  // namespace varve::test
