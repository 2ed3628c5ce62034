// A finished layer, committed or sealed: opened, checked, its index loaded.
#pragma once

#include <memory>

#include "io/file.h"
#include "lsmt/header.h"
#include "lsmt/mapping_array.h"

namespace varve::lsmt {

struct ReadOnlyLayer {
  std::shared_ptr<const io::File> file;
  Header header;
  Header trailer;
  // Sorted, without overlaps, padding or empty entries; all data lies inside of the file.
  MappingArray mappings;
};

// Throws io::FormatError, which names the defect.
ReadOnlyLayer open_read_only_layer(std::shared_ptr<const io::File> file);

}  // namespace varve::lsmt
