// Runs a target over files, and over the files of directories: a corpus, or one input that crashed.
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "fuzz/target.h"

// The bound that libFuzzer gets by -malloc_limit_mb: no input may make a target ask for more.
extern "C" __attribute__((visibility("default"))) const char* __asan_default_options();
extern "C" const char* __asan_default_options() {
  return "max_allocation_size_mb=256:allocator_may_return_null=0";
}

namespace {

void replay(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> content((std::istreambuf_iterator<char>(file)),
                                  std::istreambuf_iterator<char>());
  // Of its exact size, so that a byte behind the end is noticed.
  const std::vector<std::uint8_t> input(content.begin(), content.end());
  std::fprintf(stderr, "%s\n", path.c_str());
  LLVMFuzzerTestOneInput(input.data(), input.size());
}

}  // namespace

int main(int argc, char** argv) {
  std::size_t count = 0;
  try {
    for (int i = 1; i < argc; ++i) {
      if (!std::filesystem::is_directory(argv[i])) {
        replay(argv[i]);
        ++count;
        continue;
      }
      for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[i])) {
        if (!entry.is_regular_file()) continue;
        replay(entry.path());
        ++count;
      }
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "the input above was not refused but threw: %s\n", error.what());
    return 1;
  }
  std::printf("%zu inputs\n", count);
  if (count == 0) {
    std::fprintf(stderr, "no input: name the files or directories of a corpus\n");
    return 2;
  }
  return 0;
}
