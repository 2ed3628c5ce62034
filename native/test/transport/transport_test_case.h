// What tests of the fuse transport share: a mount namespace of their own, a pool, a transport, and
// at the end of each the proof that no mount, loop device or descriptor of it is left.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <set>
#include <span>
#include <set>
#include <string>
#include <vector>

#include "syscalls/unique_fd.h"
#include "test/transport/memory_device.h"
#include "transport/fuse_transport.h"

namespace varve::test {

using namespace std::chrono_literals;

inline constexpr std::size_t kBlock = 4096;
inline constexpr std::size_t kMebibyte = std::size_t{1} << 20;

// Memory that direct I/O takes.
class AlignedBytes {
 public:
  explicit AlignedBytes(std::size_t bytes, std::byte value = std::byte{0});
  [[nodiscard]] std::span<std::byte> span() const { return {bytes_.get(), size_}; }

 private:
  struct Free {
    void operator()(std::byte* bytes) const;
  };
  std::unique_ptr<std::byte, Free> bytes_;
  std::size_t size_;
};

// Direct I/O on a device: 0, or a negative errno.
int read_device(int device, std::span<std::byte> destination, std::uint64_t offset);
int write_device(int device, std::span<const std::byte> source, std::uint64_t offset);

// Runs a program and returns its exit status; its output goes to the test's.
int run(const std::vector<std::string>& arguments);

// Loop devices that are in use and were attached under a name that begins so.
std::vector<std::string> loops_named(const std::string& begin);

// A mount that ends with the object.
class ScopedMount {
 public:
  ScopedMount(const std::string& device, std::string target, const char* type, unsigned long flags);
  ~ScopedMount();
  ScopedMount(const ScopedMount&) = delete;
  ScopedMount& operator=(const ScopedMount&) = delete;
  [[nodiscard]] int error() const { return error_; }
  int unmount();

 private:
  std::string target_;
  int error_ = 0;
  bool is_mounted_ = false;
};

class TransportTestCase : public ::testing::Test {
 protected:
  TransportTestCase();
  void SetUp() override;
  void TearDown() override;
  ~TransportTestCase() override;

  std::unique_ptr<transport::AttachedDevice> attach(std::shared_ptr<transport::BlockDevice> content,
                                                    bool is_read_only = false);
  [[nodiscard]] std::string unique_name(const std::string& suffix = "") const;
  [[nodiscard]] static UniqueFd open_device(const transport::AttachedDevice& device, int flags);
  static void expect_gone(transport::AttachedDevice& device);
  [[nodiscard]] std::string at(const std::string& name) const { return folder_ + "/" + name; }

  std::shared_ptr<transport::ServingPool> pool_;
  std::unique_ptr<transport::FuseTransport> transport_;

 private:
  std::string folder_;
  std::set<std::string> mounts_before_;
  std::size_t descriptors_before_ = 0;
  bool is_set_up_ = false;
};

}  // namespace varve::test
