#include "holder/holder_client.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "place/socket_place.h"

namespace varve::holder {

namespace {

using Clock = std::chrono::steady_clock;

// Waits for the answer for so long and no longer.
int receive_within(int socket, Message& message, std::chrono::milliseconds patience) {
  pollfd readable = {socket, POLLIN, 0};
  const int count = ::poll(&readable, 1, static_cast<int>(patience.count()));
  if (count == 0) return -ETIMEDOUT;
  return receive_message(socket, message);
}

std::string reason(int error) { return std::strerror(error < 0 ? -error : error); }

}  // namespace

HolderClient::HolderClient(std::string socket_path, Tell tell)
    : socket_path_(std::move(socket_path)), tell_(std::move(tell)) {
  const Clock::time_point deadline = Clock::now() + kPredecessorPatience;
  bool is_absent = false;
  std::string problem = connect(is_absent);
  // Somebody is there, and refuses us while the one before is on its way out, or takes long. What it
  // holds is to be known before anybody can ask for the same devices anew.
  while (!problem.empty() && !is_absent && Clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    problem = connect(is_absent);
  }
  tell_(problem.empty(), problem);
  reconnecting_ = std::thread([this] { reconnect_for_ever(); });
}

HolderClient::~HolderClient() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
    changed_.notify_all();
  }
  reconnecting_.join();
}

std::vector<ParkedThing> HolderClient::take_left() {
  const std::lock_guard lock(mutex_);
  return std::exchange(left_, {});
}

void HolderClient::park(const std::string& name, std::span<const int> descriptors) {
  const std::lock_guard lock(mutex_);
  things_[name].assign(descriptors.begin(), descriptors.end());
  if (socket_) static_cast<void>(ask(Kind::kPark, name, descriptors));
}

void HolderClient::drop(const std::string& name) noexcept {
  try {
    const std::lock_guard lock(mutex_);
    things_.erase(name);
    if (socket_) static_cast<void>(ask(Kind::kDrop, name, {}));
  } catch (...) {
    // Without memory for a message: the holder keeps what a successor finds to be at its end.
  }
}

void HolderClient::leave(const std::string& name) noexcept {
  const std::lock_guard lock(mutex_);
  things_.erase(name);
}

std::string HolderClient::connect(bool& is_absent) {
  int error = 0;
  UniqueFd socket = place::connect_to(socket_path_, place::SocketType::kPackets, error);
  is_absent = !socket && (error == ENOENT || error == ECONNREFUSED);
  if (!socket) return "no holder answers on " + socket_path_ + ": " + reason(error);
  return say_hello(std::move(socket));
}

std::string HolderClient::say_hello(UniqueFd socket) {
  ucred peer = {};
  socklen_t length = sizeof peer;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) {
    return "the holder cannot be told: " + reason(errno);
  }
  if (const int error = send_message(socket.get(), Kind::kHello, ""); error != 0) {
    return "the holder does not listen: " + reason(error);
  }
  std::vector<ParkedThing> items;
  while (true) {
    Message message;
    if (const int error = receive_within(socket.get(), message, kAnswerPatience); error != 0) {
      return "the holder does not answer: " + reason(error);
    }
    if (message.kind == Kind::kEnd) break;
    if (message.kind == Kind::kRefused) return "refused by the holder: " + message.text;
    if (message.kind != Kind::kItem) return "the holder answers with something unknown";
    items.push_back({std::move(message.text), std::move(message.descriptors)});
  }
  const std::lock_guard lock(mutex_);
  socket_ = std::move(socket);
  process_ = peer.pid;
  // Those that a later holder has it has from us.
  if (!std::exchange(has_left_, true)) left_ = std::move(items);
  for (const auto& [name, descriptors] : things_) {
    if (!ask(Kind::kPark, name, descriptors)) return "the holder went away again";
  }
  return "";
}

bool HolderClient::ask(Kind kind, const std::string& name, std::span<const int> descriptors) {
  Message answer;
  int error = send_message(socket_.get(), kind, name, descriptors);
  if (error == 0) error = receive_within(socket_.get(), answer, kAnswerPatience);
  if (error == 0 && answer.kind == Kind::kDone) return true;
  if (error == 0 && answer.kind == Kind::kRefused) {
    tell_(true, "the holder does not keep " + name + ": " + answer.text);
    return true;
  }
  disconnect(error == 0 ? "it answers with something unknown" : reason(error));
  return false;
}

// A late answer would be taken for that of the next question.
void HolderClient::disconnect(const std::string& problem) {
  socket_.reset();
  process_ = 0;
  tell_(false, "the holder is gone (" + problem + ")");
  changed_.notify_all();
}

// It also notices the end of a holder that nothing is asked of.
void HolderClient::reconnect_for_ever() {
  std::unique_lock lock(mutex_);
  while (!is_stopping_) {
    changed_.wait_for(lock, kReconnectPause, [this] { return is_stopping_; });
    if (is_stopping_) return;
    if (socket_) {
      char byte = 0;
      const ssize_t length = ::recv(socket_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
      if (length != 0) continue;
      disconnect("it has ended");
    }
    lock.unlock();
    bool is_absent = false;
    const std::string problem = connect(is_absent);
    if (problem.empty()) tell_(true, "");
    lock.lock();
  }
}

}  // namespace varve::holder
