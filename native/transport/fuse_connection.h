// One FUSE connection: the descriptor of /dev/fuse and the content that it serves, which its end
// closes and lets go of.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "holder/parking.h"
#include "syscalls/unique_fd.h"
#include "transport/block_device.h"
#include "transport/connection.h"
#include "transport/fuse_protocol.h"

namespace varve::transport {

class FuseConnection final : public Connection {
 public:
  struct Options {
    bool is_read_only = false;
    std::uint64_t key = 0;  // by which its requests are told from those of others
    bool wants_resend = true;
  };

  FuseConnection(UniqueFd fuse, std::shared_ptr<BlockDevice> content, const Options& options);
  ~FuseConnection() override;
  FuseConnection(const FuseConnection&) = delete;
  FuseConnection& operator=(const FuseConnection&) = delete;

  [[nodiscard]] int descriptor() const noexcept override { return fuse_.get(); }
  Served serve(const RequestBuffer& buffer, const std::function<void()>& taken) noexcept override;

  // From now on it is parked there, so that a successor of this process serves it on.
  void set_place(holder::ParkedPlace place) noexcept { place_ = std::move(place); }
  // Parks a record, the descriptor and `others`, instead of what was parked.
  void park(UniqueFd record, std::span<const int> others);
  // Nothing of it is left for a successor.
  void unpark() noexcept { place_.drop(); }
  // For a predecessor's, before anything is received. Asks the kernel for the requests that were
  // not answered; 0 or a negative errno.
  [[nodiscard]] int ask_again() const noexcept;
  // The same from its memory, where the kernel cannot be asked.
  void answer_left(const RequestBuffer& buffer) noexcept;
  [[nodiscard]] bool has_resend() const noexcept { return protocol_.has_resend(); }

  // Makes the kernel forget the attributes that it keeps, the size among them.
  [[nodiscard]] int invalidate_attributes() const noexcept;

  [[nodiscard]] const std::shared_ptr<ConnectionEnd>& end() const noexcept { return end_; }

 private:
  // Never blocks.
  Served receive(const RequestBuffer& buffer, std::size_t& request_bytes) const noexcept;
  void answer(const RequestBuffer& buffer, std::size_t request_bytes) noexcept;
  void reply(std::span<const std::byte> bytes) const noexcept;

  UniqueFd fuse_;
  UniqueFd record_;
  std::uint64_t key_;
  holder::ParkedPlace place_;
  std::shared_ptr<BlockDevice> content_;
  FuseProtocol protocol_;
  std::shared_ptr<ConnectionEnd> end_ = std::make_shared<ConnectionEnd>();
};

}  // namespace varve::transport
