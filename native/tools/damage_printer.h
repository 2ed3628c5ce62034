// Says on standard error where damage is that a read has met; the read itself fails, too.
#pragma once

#include <new>
#include <string>

#include "io/file.h"
#include "tools/command_line.h"

namespace varve::tools {

class DamagePrinter final : public io::DamageListener {
 public:
  void damaged(const io::Damage& damage) noexcept override {
    try {
      warn(damage.file + ": at " + std::to_string(damage.offset) + ": " + damage.text);
    } catch (const std::bad_alloc&) {
      // The read says less, and fails all the same.
    }
  }
};

}  // namespace varve::tools
