// Where a data plane keeps what must outlive it. Each thing has a name and descriptors; they stay
// open here and with the holder until the thing is replaced or dropped. Safe from several threads.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "syscalls/unique_fd.h"

namespace varve::holder {

// Of a predecessor.
struct ParkedThing {
  std::string name;
  std::vector<UniqueFd> descriptors;
};

class Parking {
 public:
  virtual ~Parking() = default;
  // Replaces what has the name. The caller keeps the descriptors open until it has replaced or
  // dropped the thing, also where the holder cannot be reached: then it gets them when it is there
  // again.
  virtual void park(const std::string& name, std::span<const int> descriptors) = 0;
  virtual void drop(const std::string& name) noexcept = 0;
  // The holder keeps the thing for whoever comes after this process, which closes its descriptors.
  virtual void leave(const std::string& name) noexcept = 0;
  // The process that has these descriptors open as well; 0 where there is none.
  [[nodiscard]] virtual int process() const noexcept = 0;
};

// A thing that is parked for as long as the object lives.
class ParkedPlace {
 public:
  ParkedPlace() = default;
  ParkedPlace(Parking* parking, std::string name) : parking_(parking), name_(std::move(name)) {}
  ParkedPlace(ParkedPlace&& other) noexcept
      : parking_(std::exchange(other.parking_, nullptr)), name_(std::move(other.name_)) {}
  ParkedPlace& operator=(ParkedPlace&& other) noexcept {
    drop();
    parking_ = std::exchange(other.parking_, nullptr);
    name_ = std::move(other.name_);
    return *this;
  }
  ~ParkedPlace() { drop(); }

  void park(std::span<const int> descriptors) const {
    if (parking_ != nullptr) parking_->park(name_, descriptors);
  }
  void drop() noexcept {
    if (parking_ != nullptr) std::exchange(parking_, nullptr)->drop(name_);
  }
  // Leaves it to whoever comes after this process.
  void leave() noexcept {
    if (parking_ != nullptr) std::exchange(parking_, nullptr)->leave(name_);
  }
  [[nodiscard]] bool is_there() const noexcept { return parking_ != nullptr; }

 private:
  Parking* parking_ = nullptr;
  std::string name_;
};

}  // namespace varve::holder
