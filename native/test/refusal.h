// What a refused action says.
#pragma once

#include <concepts>
#include <string>

#include "io/file.h"

namespace varve::test {

// Empty if it is not refused.
template <std::invocable Action>
std::string refusal_of(const Action& action) {
  try {
    action();
  } catch (const io::FormatError& error) {
    return error.what();
  }
  return "";
}

}  // namespace varve::test
