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
using output::Unfinished;

class OutputFileTest : public TemporaryDirectory,
                       public ::testing::WithParamInterface<Unfinished> {
 protected:
  [[nodiscard]] OutputFile open(const std::string& name, Existing existing) const {
    return {at(name), existing, GetParam()};
  }
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

TEST_P(OutputFileTest, IsThereWhenItIsPublishedAndNotBefore) {
  OutputFile output = open("layer", Existing::kRefuse);
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

TEST_P(OutputFileTest, LeavesNothingWhenItIsGivenUp) {
  {
    OutputFile output = open("layer", Existing::kRefuse);
    put(output, "part");
    EXPECT_EQ(entries(), GetParam() == Unfinished::kNamed ? 1U : 0U);
  }
  EXPECT_EQ(entries(), 0U);
}

TEST_P(OutputFileTest, LeavesWhatIsThereUnlessToldToReplaceIt) {
  write_file("layer", "old");
  EXPECT_THROW(open("layer", Existing::kRefuse), io::FormatError);
  {
    OutputFile given_up = open("layer", Existing::kReplace);
    put(given_up, "part");
  }
  EXPECT_EQ(content_of("layer"), "old");
  OutputFile output = open("layer", Existing::kReplace);
  put(output, "new");
  output.publish();
  EXPECT_EQ(content_of("layer"), "new");
  EXPECT_EQ(entries(), 1U);
}

TEST_P(OutputFileTest, LeavesWhatSomebodyElseMadeMeanwhile) {
  OutputFile output = open("layer", Existing::kRefuse);
  write_file("layer", "theirs");
  EXPECT_THROW(output.publish(), io::FormatError);
  EXPECT_EQ(content_of("layer"), "theirs");
}

TEST_P(OutputFileTest, ReplacesNothingButFiles) {
  make_directory("folder");
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  EXPECT_THROW(open("folder", Existing::kReplace), io::FormatError);
  EXPECT_THROW(open("pipe", Existing::kReplace), io::FormatError);
  EXPECT_THROW(open("nowhere/layer", Existing::kRefuse), io::FormatError);
  EXPECT_EQ(entries(), 2U);
}

TEST_P(OutputFileTest, LeavesNothingWhenASignalEndsTheProcess) {
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      output::remove_unpublished_on_signals();
      OutputFile one = open("one", Existing::kRefuse);
      OutputFile other = open("other", Existing::kRefuse);
      ::raise(number);
      ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == number) << number;
    EXPECT_EQ(entries(), 0U) << number;
  }
}

TEST_P(OutputFileTest, SurvivesASignalThatIsIgnored) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::signal(SIGHUP, SIG_IGN);
    output::remove_unpublished_on_signals();
    OutputFile layer = open("layer", Existing::kRefuse);
    ::raise(SIGHUP);
    layer.publish();
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_TRUE(exists("layer"));
}

TEST_P(OutputFileTest, HasItsModeAndMayBeClosedBeforeItIsPublished) {
  OutputFile output = open("layer", Existing::kRefuse);
  put(output, "whole");
  output.set_mode(0640);
  output.take_file().reset();
  output.publish();
  EXPECT_EQ(content_of("layer"), "whole");
  struct stat status = {};
  ASSERT_EQ(::stat(at("layer").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0640U);
  EXPECT_EQ(status.st_nlink, 1U);
  output.retract();
  EXPECT_EQ(entries(), 0U);
}

TEST_P(OutputFileTest, MayReplaceWhatIsNotThere) {
  OutputFile output = open("layer", Existing::kReplace);
  output.publish();
  EXPECT_TRUE(exists("layer"));
  EXPECT_EQ(entries(), 1U);
}

TEST_P(OutputFileTest, PassesOverWhatAProcessWithTheSameNumberLeft) {
  const std::string left = ".varve-layer." + std::to_string(::getpid()) + ".0";
  write_file(left, "left");
  write_file("layer", "old");
  OutputFile output = open("layer", Existing::kReplace);
  put(output, "new");
  output.publish();
  EXPECT_EQ(content_of(left), "left");
  EXPECT_EQ(content_of("layer"), "new");
  EXPECT_EQ(entries(), 2U);
}

INSTANTIATE_TEST_SUITE_P(Unfinished, OutputFileTest,
                         ::testing::Values(Unfinished::kNameless, Unfinished::kNamed),
                         [](const auto& one) {
                           return one.param == Unfinished::kNamed ? "Named" : "Nameless";
                         });

using KilledOutputFile = TemporaryDirectory;

// What nothing in the process can see to.
TEST_F(KilledOutputFile, LeavesNothing) {
  {
    const OutputFile output(at("layer"), Existing::kRefuse);
    if (!std::filesystem::is_empty(path())) GTEST_SKIP() << "the file system needs names";
  }
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    OutputFile one(at("one"), Existing::kRefuse);
    OutputFile other(at("other"), Existing::kReplace);
    put(one, "part");
    ::raise(SIGKILL);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  EXPECT_TRUE(std::filesystem::is_empty(path()));
}

}  // namespace varve::test
