// In which order an output file is made durable. The calls that do it are replaced by ones that
// remember them: the definitions of a program come before those of libc.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "output/output_file.h"
#include "test/temporary_directory.h"

namespace {

std::vector<std::string> calls;

void remember_sync(int descriptor) {
  struct stat status = {};
  const bool is_directory = ::fstat(descriptor, &status) == 0 && S_ISDIR(status.st_mode);
  calls.emplace_back(is_directory ? "sync folder" : "sync file");
}

// However many calls it takes.
void remember_name() {
  if (calls.empty() || calls.back() != "name") calls.emplace_back("name");
}

}  // namespace

extern "C" int fsync(int descriptor) {
  remember_sync(descriptor);
  return static_cast<int>(::syscall(SYS_fsync, descriptor));
}

extern "C" int fdatasync(int descriptor) {
  remember_sync(descriptor);
  return static_cast<int>(::syscall(SYS_fdatasync, descriptor));
}

extern "C" int renameat2(int from_folder, const char* from, int to_folder, const char* to,
                         unsigned flags) noexcept {
  remember_name();
  return static_cast<int>(::syscall(SYS_renameat2, from_folder, from, to_folder, to, flags));
}

extern "C" int linkat(int from_folder, const char* from, int to_folder, const char* to,
                      int flags) noexcept {
  remember_name();
  return static_cast<int>(::syscall(SYS_linkat, from_folder, from, to_folder, to, flags));
}

namespace varve::test {

using output::Existing;
using output::OutputFile;
using output::Unfinished;
using Calls = std::vector<std::string>;

class OutputFileDurability : public TemporaryDirectory {};

TEST_F(OutputFileDurability, OfTheContentComesBeforeItsNameAndThatOfTheNameBeforeTheAnswer) {
  for (const Unfinished unfinished : {Unfinished::kNameless, Unfinished::kNamed}) {
    const std::string path = at(unfinished == Unfinished::kNamed ? "named" : "nameless");
    for (const Existing existing : {Existing::kRefuse, Existing::kReplace}) {
      OutputFile output(path, existing, unfinished);
      const std::string text = "whole";
      ASSERT_EQ(output.file().write(std::as_bytes(std::span(text)), 0), 0);
      calls.clear();
      output.publish();
      // Once more with the name: see OutputFile::publish.
      EXPECT_EQ(calls, (Calls{"sync file", "name", "sync file", "sync folder"}));
    }
  }
}

TEST_F(OutputFileDurability, OfTheContentCanComeBeforePublishing) {
  OutputFile output(at("layer"), Existing::kRefuse);
  calls.clear();
  output.make_durable();
  EXPECT_EQ(calls, (Calls{"sync file"}));
}

}  // namespace varve::test
