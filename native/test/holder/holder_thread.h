// A holder in a thread of the test; ends with the object.
#pragma once

#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "holder/holder.h"
#include "place/socket_place.h"

namespace varve::test {

class HolderThread {
 public:
  explicit HolderThread(const std::string& path) : signals_(::eventfd(0, EFD_CLOEXEC)) {
    holder_ = std::make_unique<holder::Holder>(
        place::listen_at(path, place::SocketType::kPackets), UniqueFd(::dup(signals_.get())),
        [this](const std::string& text) {
          const std::lock_guard lock(mutex_);
          said_.push_back(text);
          changed_.notify_all();
        });
    thread_ = std::thread([this] { holder_->run(); });
  }
  // Whoever ends the test has dropped what was parked, or the holder would wait for it.
  ~HolderThread() {
    if (!thread_.joinable()) return;
    ask_to_end();
    thread_.join();
  }
  HolderThread(const HolderThread&) = delete;
  HolderThread& operator=(const HolderThread&) = delete;

  void ask_to_end() { static_cast<void>(::eventfd_write(signals_.get(), 1)); }
  void join() { thread_.join(); }

  // Until it has said something with these words; how often it has to be.
  void wait_for(const std::string& words, std::size_t count = 1) {
    std::unique_lock lock(mutex_);
    const bool has_said = changed_.wait_for(lock, std::chrono::seconds(30), [&] {
      std::size_t found = 0;
      for (const std::string& text : said_) found += text.find(words) != std::string::npos ? 1 : 0;
      return found >= count;
    });
    ASSERT_TRUE(has_said) << words;
  }

 private:
  UniqueFd signals_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> said_;
  std::unique_ptr<holder::Holder> holder_;
  std::thread thread_;
};

}  // namespace varve::test
