// Keeps a block device from being mounted, swapped to or built upon, as long as it lives.
#pragma once

#include <future>
#include <string>

namespace varve::ublk {

class Claim {
 public:
  explicit Claim(const std::string& path);
  ~Claim();
  Claim(const Claim&) = delete;
  Claim& operator=(const Claim&) = delete;

  // 0, or the errno with which the kernel refuses: EBUSY if somebody else has such a claim.
  [[nodiscard]] int error() const noexcept { return error_; }

 private:
  std::promise<void> released_;
  std::future<void> ended_;
  int error_ = 0;
};

}  // namespace varve::ublk
