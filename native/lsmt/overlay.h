// Merging the indexes of a stack into one: where layers overlap, the highest one counts, and its
// zeroed ranges hide what lies below like data does.
#pragma once

#include <vector>

#include "lsmt/mapping_array.h"

namespace varve::lsmt {

inline constexpr std::size_t kStackLayersMax = 255;

// `layers` are lowest first, each sorted and without overlaps; the result's mappings say by their
// layer() which one they come from. Throws io::FormatError when there are too many of them.
MappingArray overlay(std::vector<MappingArray> layers);

}  // namespace varve::lsmt
