// Says on standard error where damage is that a read has met; the read itself fails, too.
#pragma once

#include <cstdio>

#include "io/file.h"

namespace varve::tools {

class DamagePrinter final : public io::DamageListener {
 public:
  void damaged(const io::Damage& damage) noexcept override {
    std::fprintf(stderr, "varve-layer: %s: at %llu: %s\n", damage.file.c_str(),
                 static_cast<unsigned long long>(damage.offset), damage.text.c_str());
  }
};

}  // namespace varve::tools
