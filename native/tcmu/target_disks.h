// The disks that this kernel shows of a TCMU device, by tcm_loop; other fabrics show it elsewhere.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "tcmu/target_name.h"

namespace varve::tcmu {

struct TargetDisk {
  std::string name;  // "sdb"
  dev_t device = 0;

  [[nodiscard]] std::string path() const { return "/dev/" + name; }
};

std::vector<TargetDisk> find_disks(const TargetName& target);

}  // namespace varve::tcmu
