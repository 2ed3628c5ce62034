// A failed operation: thrown where it is noticed, turned into a reply at one place (operations.cpp).
#pragma once

#include <stdexcept>
#include <string>

namespace varve {

struct Failure : std::exception {
  Failure(int error_number, std::string failed_step, std::string failed_path,
          std::string explanation = {});

  [[nodiscard]] const char* what() const noexcept override { return message.c_str(); }

  int error;
  std::string step;     // the system call or check that failed
  std::string path;     // what it was done to; any bytes
  std::string message;  // complete: step, path and reason
};

// The errno's symbolic name, such as EBUSY.
std::string error_name(int error);

// `bytes` as valid UTF-8: every byte that is not part of a valid sequence becomes the text \xNN.
std::string printable(const std::string& bytes);

}  // namespace varve
