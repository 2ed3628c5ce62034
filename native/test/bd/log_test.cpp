// Where the log goes.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "bd/log.h"
#include "test/temporary_directory.h"

namespace varve::test {

using bd::Log;
using bd::LogLevel;

class LogTest : public TemporaryDirectory {
 protected:
  [[nodiscard]] std::vector<std::string> lines(const std::string& name) const {
    std::ifstream file(at(name));
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
  }
};

TEST_F(LogTest, GoesIntoTheFileThatTheConfigurationNames) {
  {
    Log log(LogLevel::kInfo, image::LogConfig{.path = at("bd.log")});
    log.debug("not of this level", {});
    log.warn("too slow", {{"device", "a"}});
  }
  const std::vector<std::string> written = lines("bd.log");
  ASSERT_EQ(written.size(), 1U);
  const auto line = nlohmann::json::parse(written[0]);
  EXPECT_EQ(line["level"], "warn");
  EXPECT_EQ(line["device"], "a");
  EXPECT_EQ(line["msg"], "too slow");
}

TEST_F(LogTest, IsRotatedBySizeAndKeepsSoManyFiles) {
  const std::string text(1000, 'x');
  // In parts, since lines that find no room in the queue are dropped.
  for (int part = 0; part < 30; ++part) {
    Log log(LogLevel::kInfo,
            image::LogConfig{.path = at("bd.log"), .size_max_mb = 1, .rotated_files = 2});
    for (int line = 0; line < 100; ++line) log.info(text, {});
  }
  EXPECT_LE(std::filesystem::file_size(at("bd.log")), 1U << 20);
  for (const char* name : {"bd.log.1", "bd.log.2"}) {
    EXPECT_GT(std::filesystem::file_size(at(name)), 1U << 19) << name;
    EXPECT_LE(std::filesystem::file_size(at(name)), 1U << 20) << name;
  }
  EXPECT_FALSE(exists("bd.log.3"));
}

TEST_F(LogTest, AFileThatCannotBeWrittenIsNamed) {
  make_directory("bd.log");
  try {
    const Log log(LogLevel::kInfo, image::LogConfig{.path = at("bd.log")});
    FAIL() << "opened a directory";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find(at("bd.log")), std::string::npos) << error.what();
  }
}

}  // namespace varve::test
