// One action for each of many things, by a few threads at once.
#pragma once

#include <cstddef>
#include <functional>

namespace varve::image {

// Calls `action` with 0 to count-1, in that order as threads become free, this one among them.
// After an exception no more are begun, and the one of the lowest number is thrown on.
void for_each_parallel(std::size_t count, unsigned threads_max,
                       const std::function<void(std::size_t)>& action);

}  // namespace varve::image
