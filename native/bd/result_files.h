// The result files of the devices that are open. What such a file says is true of its device, so
// somebody else's failure, such as that of a second open of the same image, is not written into it.
#pragma once

#include <mutex>
#include <set>
#include <string>

namespace varve::bd {

// Safe from several threads.
class ResultFiles {
 public:
  void add(const std::string& path) {
    const std::lock_guard lock(mutex_);
    paths_.insert(path);
  }
  void remove(const std::string& path) {
    const std::lock_guard lock(mutex_);
    if (const auto found = paths_.find(path); found != paths_.end()) paths_.erase(found);
  }
  [[nodiscard]] bool has(const std::string& path) const {
    const std::lock_guard lock(mutex_);
    return paths_.contains(path);
  }

 private:
  mutable std::mutex mutex_;
  std::multiset<std::string> paths_;  // devices that are read-only may share one
};

}  // namespace varve::bd
