// The data plane's side of its holder. When the holder dies, everything goes on, and the next one on
// the same socket gets what the last one had.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "holder/messages.h"
#include "holder/parking.h"

namespace varve::holder {

// How long the holder may take for an answer: it does nothing that can block.
inline constexpr std::chrono::milliseconds kAnswerPatience{2'000};
inline constexpr std::chrono::milliseconds kReconnectPause{500};
// A predecessor that was told to end may need so long.
inline constexpr std::chrono::milliseconds kPredecessorPatience{10'000};

class HolderClient final : public Parking {
 public:
  // Whether there is a holder now, and a sentence about it.
  using Tell = std::function<void(bool is_connected, const std::string& text)>;

  // Connects if somebody is there, and goes on trying in a thread of its own.
  HolderClient(std::string socket_path, Tell tell);
  ~HolderClient() override;
  HolderClient(const HolderClient&) = delete;
  HolderClient& operator=(const HolderClient&) = delete;

  // What a predecessor has left, once; it is here when a connection has been told of.
  [[nodiscard]] std::vector<ParkedThing> take_left();

  void park(const std::string& name, std::span<const int> descriptors) override;
  void drop(const std::string& name) noexcept override;
  void leave(const std::string& name) noexcept override;
  [[nodiscard]] int process() const noexcept override { return process_; }
  [[nodiscard]] bool is_connected() const noexcept { return process_ != 0; }

 private:
  using Things = std::map<std::string, std::vector<int>>;

  // An empty text, or why there is no connection; `is_absent` says whether nobody is there at all.
  std::string connect(bool& is_absent);
  std::string say_hello(UniqueFd socket);
  bool ask(Kind kind, const std::string& name, std::span<const int> descriptors);
  void disconnect(const std::string& reason);
  void reconnect_for_ever();

  const std::string socket_path_;
  const Tell tell_;
  std::mutex mutex_;  // of all that follows
  std::condition_variable changed_;
  UniqueFd socket_;
  Things things_;
  std::vector<ParkedThing> left_;
  bool has_left_ = false;  // whether what was left has come
  bool is_stopping_ = false;
  std::atomic<int> process_ = 0;
  std::thread reconnecting_;
};

}  // namespace varve::holder
