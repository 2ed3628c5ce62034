#include "holder/holder.h"

#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <iterator>
#include <thread>
#include <utility>

namespace varve::holder {

namespace {

// A client that reads nothing must not hold the others up.
bool reply(int socket, Kind kind, const std::string& text = {},
           std::span<const int> descriptors = {}) {
  return send_message(socket, kind, text, descriptors) == 0;
}

std::vector<int> numbers_of(const std::vector<UniqueFd>& descriptors) {
  std::vector<int> numbers;
  for (const UniqueFd& descriptor : descriptors) numbers.push_back(descriptor.get());
  return numbers;
}

}  // namespace

Holder::Holder(UniqueFd listener, UniqueFd signals, Tell tell)
    : listener_(std::move(listener)), signals_(std::move(signals)), tell_(std::move(tell)) {}

void Holder::run() {
  while (!is_ending_ || is_needed()) {
    std::vector<pollfd> waited = {{listener_.get(), POLLIN, 0}, {signals_.get(), POLLIN, 0}};
    for (const Client& client : clients_) waited.push_back({client.socket.get(), POLLIN, 0});
    if (::poll(waited.data(), waited.size(), -1) < 0) continue;  // EINTR, or no memory for now
    std::size_t at = 2;
    for (auto client = clients_.begin(); client != clients_.end(); ++at) {
      const bool stays = waited[at].revents == 0 || serve(*client);
      if (!stays && client->is_worker) {
        worker_ = 0;
        tell_("process " + std::to_string(client->process) + " is gone; " + status());
      }
      client = stays ? std::next(client) : clients_.erase(client);
    }
    if (waited[0].revents != 0) accept_clients();
    if (waited[1].revents != 0) {
      signalfd_siginfo signal = {};
      static_cast<void>(::read(signals_.get(), &signal, sizeof signal));
      is_ending_ = true;
      if (is_needed()) {
        tell_("asked to end, which would end devices that are in use: ending when they are closed; " +
              status());
      }
    }
  }
}

bool Holder::is_needed() const {
  return std::any_of(items_.begin(), items_.end(),
                     [](const auto& item) { return !item.first.starts_with(kServingPrefix); });
}

std::string Holder::status() const {
  return std::to_string(items_.size()) + " held" +
         (worker_ == 0 ? std::string(", no process uses them")
                       : ", used by process " + std::to_string(worker_));
}

void Holder::accept_clients() {
  while (true) {
    UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) {
      // Without a descriptor to spare it would be tried again at once, and again.
      if (errno != EAGAIN) std::this_thread::sleep_for(std::chrono::milliseconds(10));
      return;
    }
    ucred peer = {};
    socklen_t length = sizeof peer;
    const bool is_known =
        ::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
        (peer.uid == 0 || peer.uid == ::geteuid());
    if (!is_known) continue;
    if (clients_.size() >= kClientsMax) {
      reply(socket.get(), Kind::kRefused, "too many are connected: try again later");
      continue;
    }
    clients_.push_back({.socket = std::move(socket), .process = peer.pid, .is_worker = false});
  }
}

bool Holder::serve(Client& client) {
  // One at a time: those that come more often than others wait with them.
  Message message;
  const int error = receive_message(client.socket.get(), message);
  if (error == -EAGAIN) return true;
  return error == 0 && answer(client, message);
}

bool Holder::answer(Client& client, Message& message) {
  const int socket = client.socket.get();
  switch (message.kind) {
    case Kind::kHello: return take_on(client);
    case Kind::kPark: return park(client, message);
    case Kind::kDrop:
      if (!client.is_worker) return reply(socket, Kind::kRefused, "say hello first");
      items_.erase(message.text);
      return reply(socket, Kind::kDone);
    case Kind::kStatus: return reply(socket, Kind::kDone, status());
    default: return false;
  }
}

// The connection of the one before ends after its last thread, so nothing of it is under way when
// the next one gets what is held.
bool Holder::take_on(Client& client) {
  const int socket = client.socket.get();
  if (worker_ != 0) {
    return reply(socket, Kind::kRefused,
                 "process " + std::to_string(worker_) + " uses this holder");
  }
  client.is_worker = true;
  worker_ = client.process;
  // The items may be more than the socket's buffer takes before they are read.
  int sent = 0;
  for (const auto& [name, descriptors] : items_) {
    const std::vector<int> numbers = numbers_of(descriptors);
    while ((sent = send_message(socket, Kind::kItem, name, numbers)) == -EAGAIN) {
      pollfd writable = {socket, POLLOUT, 0};
      constexpr int kPatienceMs = 5'000;
      if (::poll(&writable, 1, kPatienceMs) <= 0) break;
    }
    if (sent != 0) break;
  }
  tell_("process " + std::to_string(worker_) + " is here; " + status());
  return sent == 0 && reply(socket, Kind::kEnd);
}

bool Holder::park(const Client& client, Message& message) {
  const int socket = client.socket.get();
  if (!client.is_worker) return reply(socket, Kind::kRefused, "say hello first");
  if (!is_name(message.text) || message.descriptors.empty()) {
    return reply(socket, Kind::kRefused, "what is parked has a name and descriptors");
  }
  const auto found = items_.find(message.text);
  if (found == items_.end() && items_.size() >= kItemsMax) {
    return reply(socket, Kind::kRefused, std::to_string(kItemsMax) + " are held, which is the most");
  }
  // Those that it replaces are closed here; the worker has them open still, so nothing ends.
  items_[message.text] = std::move(message.descriptors);
  return reply(socket, Kind::kDone);
}

}  // namespace varve::holder
