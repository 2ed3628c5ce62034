// What ends a command, in words for whoever called it: what failed, with what, why, and what to do.
#pragma once

#include <stdexcept>
#include <string>

#include "io/file.h"

namespace varve::tools {

inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;   // also: verify found a defect
inline constexpr int kMisused = 2;  // the command line makes no sense

class Failure : public std::runtime_error {
 public:
  explicit Failure(const std::string& text) : std::runtime_error(text) {}
};

class Misuse : public std::runtime_error {
 public:
  explicit Misuse(const std::string& text) : std::runtime_error(text) {}
};

// Throws a Failure for an error of the system; `error` is an errno of either sign.
[[noreturn]] void fail(const std::string& file, const std::string& what, int error,
                       const std::string& advice = {});

// The same unless `error` is 0.
void check(int error, const std::string& file, const std::string& what);

// What `error` says, and what to do about a writable layer that is in use.
[[nodiscard]] std::string with_advice(const io::FormatError& error);

// A text of unknown origin as it may go to a terminal: control characters and what is not ASCII as
// \xNN.
[[nodiscard]] std::string printable(const std::string& text);

// A message for a terminal, with paths in it that may be anything: control characters as \xNN,
// letters of all alphabets as they are.
[[nodiscard]] std::string without_controls(const std::string& text);

}  // namespace varve::tools
