// A tar that could not be applied: the text says what was to be done, to what, and why not.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace varve::apply {

class ApplyError : public std::runtime_error {
 public:
  // `error` is a positive errno: EINVAL for an archive that is not sound, ENOSPC for a file system
  // that is full, EUCLEAN for one that is damaged, else what the system answered.
  ApplyError(int error, const std::string& text) : std::runtime_error(text), error_(error) {}
  [[nodiscard]] int error() const noexcept { return error_; }

 private:
  int error_;
};

// A step that libext2fs could not do. `code` is its error code or an errno.
[[noreturn]] void throw_ext2_error(std::int64_t code, const std::string& step);

inline void check_ext2(std::int64_t code, const char* step) {
  if (code != 0) throw_ext2_error(code, step);
}

// A name as messages show it: in quotes, without control characters, not too long.
std::string quoted(const std::string& name);

}  // namespace varve::apply
