// A device of the transport ublk.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "transport/serving_pool.h"
#include "transport/transport.h"
#include "ublk/control.h"
#include "ublk/note.h"
#include "ublk/ublk_connection.h"

namespace varve::ublk {

// What devices are made with.
struct UblkSurroundings {
  std::shared_ptr<transport::ServingPool> pool;
  Notes notes;
};

[[nodiscard]] std::string block_path(std::uint32_t number);

// Takes a device away that has that cookie, and its note; users get EIO. 0, also where there is none
// any more, or a negative errno.
[[nodiscard]] int take_away(Control& control, std::uint32_t number, const Notes& notes,
                            std::uint64_t cookie) noexcept;

class UblkDevice final : public transport::AttachedDevice {
 public:
  // Throw transport::TransportError. The latter serves one of a predecessor on, and leaves it waiting
  // when it fails.
  UblkDevice(UblkSurroundings around, const std::shared_ptr<transport::BlockDevice>& content,
             const transport::AttachOptions& options);
  UblkDevice(UblkSurroundings around, std::uint32_t number, const Note& note,
             const std::shared_ptr<transport::BlockDevice>& content);
  // Users get EIO: nobody is left who could notice the last of them.
  ~UblkDevice() override;
  UblkDevice(const UblkDevice&) = delete;
  UblkDevice& operator=(const UblkDevice&) = delete;

  [[nodiscard]] const std::string& path() const noexcept override { return path_; }
  [[nodiscard]] bool has_direct_io() const noexcept override { return true; }
  [[nodiscard]] std::vector<transport::DeviceUser> users() const override;
  [[nodiscard]] bool has_ended() const override;
  [[nodiscard]] bool outlives_process() const noexcept override { return !is_taken_away_; }
  [[nodiscard]] std::string resize_obstacle() const override;
  [[nodiscard]] int resized() override;
  [[nodiscard]] int sync() override;
  transport::CloseResult close(transport::CloseMode mode,
                               std::chrono::milliseconds patience) override;

 private:
  using Clock = std::chrono::steady_clock;

  void make(Control& control, const std::shared_ptr<transport::BlockDevice>& content,
            const transport::AttachOptions& options);
  void serve(const std::shared_ptr<transport::BlockDevice>& content, unsigned depth);
  void stop_serving() noexcept;
  void look();
  void check_size(const transport::BlockDevice& content);
  // Who is in the way of taking it away; if nobody is, it has been.
  std::vector<transport::DeviceUser> take_away_unused(bool looks_again);
  void set_stage(Note::Stage stage) noexcept;
  void shut_down() noexcept;
  [[nodiscard]] bool is_left() const noexcept;
  void await_end(std::chrono::milliseconds patience, transport::CloseResult& result) const;

  UblkSurroundings around_;
  Note note_;
  std::uint32_t number_ = UINT32_MAX;
  std::string path_;
  dev_t device_ = 0;
  std::weak_ptr<transport::BlockDevice> content_;
  std::weak_ptr<UblkConnection> connection_;
  std::shared_ptr<transport::ConnectionEnd> end_;
  transport::ServingPool::Id id_ = 0;

  std::atomic<bool> is_taken_away_ = false;
  std::atomic<bool> is_let_go_ = false;
  std::atomic<Clock::time_point> next_look_ = Clock::time_point();
  mutable std::mutex mutex_;  // of closing, for what follows
  std::vector<transport::DeviceUser> last_users_;
};

}  // namespace varve::ublk
