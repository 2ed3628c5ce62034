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

// Where a connection is parked, so that a successor of this process serves it on.
struct ConnectionPlace {
  std::uint64_t key = 0;  // by which its requests are told from those of others
  holder::ParkedPlace place{};
  bool wants_resend = true;
};

class FuseConnection final : public Connection {
 public:
  FuseConnection(UniqueFd fuse, std::shared_ptr<BlockDevice> content, bool is_read_only,
                 ConnectionPlace parked = {});
  ~FuseConnection() override;
  FuseConnection(const FuseConnection&) = delete;
  FuseConnection& operator=(const FuseConnection&) = delete;

  [[nodiscard]] int descriptor() const noexcept override { return fuse_.get(); }
  Served serve(const RequestBuffer& buffer, const std::function<void()>& taken) noexcept override;

  // Parks a record, the descriptor and `others`, in place of what is parked. Throws std::system_error.
  void park(const std::string& record, std::span<const int> others);
  // Nothing of it is left for a successor.
  void unpark() noexcept { parked_.place.drop(); }
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
  ConnectionPlace parked_;
  std::shared_ptr<BlockDevice> content_;
  FuseProtocol protocol_;
  std::shared_ptr<ConnectionEnd> end_ = std::make_shared<ConnectionEnd>();
};

}  // namespace varve::transport
