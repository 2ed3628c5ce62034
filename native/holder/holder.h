// The holder: it keeps descriptors for a data plane that may die or be replaced, and gives them to
// its successor. It never looks into what it keeps, and does nothing that could block, so there is
// next to nothing in it that could fail.
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <functional>
#include <list>
#include <map>
#include <string>
#include <vector>

#include "holder/messages.h"
#include "syscalls/unique_fd.h"

namespace varve::holder {

// How many things at most: each device is one, and so is each thread of a data plane.
inline constexpr std::size_t kItemsMax = 8192;
inline constexpr std::size_t kClientsMax = 16;

class Holder {
 public:
  // A sentence about what has happened.
  using Tell = std::function<void(const std::string& text)>;

  // `signals` becomes readable when the process is asked to end.
  Holder(UniqueFd listener, UniqueFd signals, Tell tell);

  // Until it is asked to end and holds nothing that counts: it would be lost with it.
  void run();

 private:
  struct Client {
    UniqueFd socket;
    pid_t process = 0;
    bool is_worker = false;
  };
  using Items = std::map<std::string, std::vector<UniqueFd>>;

  void accept_clients();
  // Whether it stays.
  bool serve(Client& client);
  bool answer(Client& client, Message& message);
  bool take_on(Client& client);
  bool park(const Client& client, Message& message);
  [[nodiscard]] bool is_needed() const;
  [[nodiscard]] std::string status() const;

  UniqueFd listener_;
  UniqueFd signals_;
  Tell tell_;
  std::list<Client> clients_;
  Items items_;
  pid_t worker_ = 0;  // 0: none is connected
  bool is_ending_ = false;
};

}  // namespace varve::holder
