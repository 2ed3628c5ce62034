#include "tools/failure.h"

#include <cerrno>
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

std::string with_advice(const io::FormatError& error) {
  std::string text = error.what();
  if (error.error() == EBUSY) {
    text += "; close the device first (varve bd ls says which it is, varve bd close NAME closes "
            "it), or wait for the command to end";
  }
  return text;
}

namespace {

void append_escaped(std::string& text, char letter) {
  const auto value = static_cast<unsigned char>(letter);
  text += "\\x";
  text += "0123456789abcdef"[value >> 4];
  text += "0123456789abcdef"[value & 15];
}

// Also those that UTF-8 writes as 0xc2 and a byte from 0x80 to 0x9f.
bool is_control(const std::string& text, std::size_t at) {
  const auto value = static_cast<unsigned char>(text[at]);
  if (value < ' ' || value == 0x7f) return true;
  if (value != 0xc2 || at + 1 == text.size()) return false;
  return static_cast<unsigned char>(text[at + 1]) < 0xa0;
}

}  // namespace

std::string printable(const std::string& text) {
  std::string clean;
  for (const char letter : text) {
    if (letter >= ' ' && letter <= '~') {
      clean += letter;
    } else {
      append_escaped(clean, letter);
    }
  }
  return clean;
}

std::string without_controls(const std::string& text) {
  std::string clean;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (is_control(text, at)) {
      append_escaped(clean, text[at]);
    } else {
      clean += text[at];
    }
  }
  return clean;
}

}  // namespace varve::tools
