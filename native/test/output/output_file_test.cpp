// Files that appear when they are complete, and leave nothing otherwise.
#include "output/output_file.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "test/temporary_directory.h"

namespace varve::test {

using output::Existing;
using output::OutputFile;

class OutputFileTest : public TemporaryDirectory {
 protected:
  [[nodiscard]] std::size_t entries() const {
    const std::filesystem::directory_iterator files(path());
    return static_cast<std::size_t>(std::distance(begin(files), end(files)));
  }
  [[nodiscard]] std::string content_of(const std::string& name) const {
    std::ifstream file(at(name));
    return {std::istreambuf_iterator<char>(file), {}};
  }
};

void put(OutputFile& output, const std::string& text) {
  ASSERT_EQ(output.file().write(std::as_bytes(std::span(text)), 0), 0);
}

TEST_F(OutputFileTest, IsThereWhenItIsPublishedAndNotBefore) {
  OutputFile output(at("layer"), Existing::kRefuse);
  put(output, "whole");
  EXPECT_FALSE(exists("layer"));
  output.publish();
  EXPECT_EQ(content_of("layer"), "whole");
  EXPECT_EQ(entries(), 1U);
  struct stat status = {};
  ASSERT_EQ(::stat(at("layer").c_str(), &status), 0);
  const mode_t mask = ::umask(0);
  ::umask(mask);
  EXPECT_EQ(status.st_mode & 0777, 0644 & ~mask);
}

TEST_F(OutputFileTest, LeavesNothingWhenItIsGivenUp) {
  {
    OutputFile output(at("layer"), Existing::kRefuse);
    put(output, "part");
    EXPECT_EQ(entries(), 1U);
  }
  EXPECT_EQ(entries(), 0U);
}

TEST_F(OutputFileTest, LeavesWhatIsThereUnlessToldToReplaceIt) {
  write_file("layer", "old");
  EXPECT_THROW(OutputFile(at("layer"), Existing::kRefuse), io::FormatError);
  {
    OutputFile given_up(at("layer"), Existing::kReplace);
    put(given_up, "part");
  }
  EXPECT_EQ(content_of("layer"), "old");
  OutputFile output(at("layer"), Existing::kReplace);
  put(output, "new");
  output.publish();
  EXPECT_EQ(content_of("layer"), "new");
  EXPECT_EQ(entries(), 1U);
}

TEST_F(OutputFileTest, LeavesWhatSomebodyElseMadeMeanwhile) {
  OutputFile output(at("layer"), Existing::kRefuse);
  write_file("layer", "theirs");
  EXPECT_THROW(output.publish(), io::FormatError);
  EXPECT_EQ(content_of("layer"), "theirs");
}

TEST_F(OutputFileTest, ReplacesNothingButFiles) {
  make_directory("folder");
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  EXPECT_THROW(OutputFile(at("folder"), Existing::kReplace), io::FormatError);
  EXPECT_THROW(OutputFile(at("pipe"), Existing::kReplace), io::FormatError);
  EXPECT_THROW(OutputFile(at("nowhere/layer"), Existing::kRefuse), io::FormatError);
  EXPECT_EQ(entries(), 2U);
}

TEST_F(OutputFileTest, LeavesNothingWhenASignalEndsTheProcess) {
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      output::remove_unpublished_on_signals();
      OutputFile one(at("one"), Existing::kRefuse);
      OutputFile other(at("other"), Existing::kRefuse);
      ::raise(number);
      ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == number) << number;
    EXPECT_EQ(entries(), 0U) << number;
  }
}

TEST_F(OutputFileTest, SurvivesASignalThatIsIgnored) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::signal(SIGHUP, SIG_IGN);
    output::remove_unpublished_on_signals();
    OutputFile layer(at("layer"), Existing::kRefuse);
    ::raise(SIGHUP);
    layer.publish();
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_TRUE(exists("layer"));
}

TEST_F(OutputFileTest, PassesOverWhatAProcessWithTheSameNumberLeft) {
  write_file(".varve-layer." + std::to_string(::getpid()) + ".0", "left");
  OutputFile output(at("layer"), Existing::kRefuse);
  output.publish();
  EXPECT_EQ(content_of(".varve-layer." + std::to_string(::getpid()) + ".0"), "left");
  EXPECT_TRUE(exists("layer"));
}

}  // namespace varve::test
