#include "apply/apply_error.h"

#include <ext2fs/ext2fs.h>
// A header of C alone.
extern "C" {
#include <et/com_err.h>
}

#include <cerrno>

namespace varve::apply {

namespace {

constexpr std::size_t kQuotedMax = 300;

int errno_of(std::int64_t code) {
  switch (code) {
    case EXT2_ET_BLOCK_ALLOC_FAIL:
    case EXT2_ET_INODE_ALLOC_FAIL:
    case EXT2_ET_EA_NO_SPACE:
    case EXT2_ET_DIR_NO_SPACE:
      return ENOSPC;
    case EXT2_ET_FILE_TOO_BIG:
      return EFBIG;
    case EXT2_ET_NO_MEMORY:
      return ENOMEM;
    default:
      return code > 0 && code < EXT2_ET_BASE ? static_cast<int>(code) : EUCLEAN;
  }
}

const char* text_of(std::int64_t code) {
  switch (code) {
    case EXT2_ET_BLOCK_ALLOC_FAIL:
      return "the file system is full: it has no free block";
    case EXT2_ET_INODE_ALLOC_FAIL:
      return "the file system is full: it has no free inode";
    case EXT2_ET_EA_NO_SPACE:
      return "they do not fit into the inode and one block";
    default:
      initialize_ext2_error_table();
      return error_message(static_cast<errcode_t>(code));
  }
}

}  // namespace

void throw_ext2_error(std::int64_t code, const std::string& step) {
  throw ApplyError(errno_of(code), "cannot " + step + ": " + text_of(code));
}

std::string quoted(const std::string& name) {
  std::string text = "\"";
  for (const char character : name) {
    if (text.size() > kQuotedMax) {
      text += "…";
      break;
    }
    const auto code = static_cast<unsigned char>(character);
    text += code < 0x20 || code == 0x7f || character == '"' ? '?' : character;
  }
  return text + "\"";
}

}  // namespace varve::apply
