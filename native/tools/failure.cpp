#include "tools/failure.h"

#include <cstdlib>

#include "io/bytes.h"

namespace varve::tools {

void fail(const std::string& file, const std::string& what, int error, const std::string& advice) {
  std::string text = file + ": " + what + ": " + io::error_text(std::abs(error));
  if (!advice.empty()) text += "; " + advice;
  throw Failure(text);
}

void check(int error, const std::string& file, const std::string& what) {
  if (error != 0) fail(file, what, error);
}

std::string printable(const std::string& text) {
  std::string clean;
  for (const char letter : text) {
    if (letter >= ' ' && letter <= '~') {
      clean += letter;
      continue;
    }
    const auto value = static_cast<unsigned char>(letter);
    clean += "\\x";
    clean += "0123456789abcdef"[value >> 4];
    clean += "0123456789abcdef"[value & 15];
  }
  return clean;
}

}  // namespace varve::tools
