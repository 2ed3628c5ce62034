// A scratch directory for one test: everything below it is unmounted and deleted at its end, also
// after a failed assertion.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

namespace varve::test {

class TemporaryDirectory : public ::testing::Test {
 protected:
  TemporaryDirectory();
  ~TemporaryDirectory() override;

  // The path of `name` in the scratch directory.
  [[nodiscard]] std::string at(const std::string& name) const { return path_ + "/" + name; }
  [[nodiscard]] const std::string& path() const { return path_; }

  void make_directory(const std::string& name) const;  // with its parents
  void write_file(const std::string& name, const std::string& content = "content") const;
  void bind(const std::string& source, const std::string& target) const;
  [[nodiscard]] bool exists(const std::string& name) const;

 private:
  std::string path_;
};

// Ends the test as skipped when it is not run as root.
#define VARVE_NEEDS_ROOT() \
  if (::geteuid() != 0) GTEST_SKIP() << "needs root"

}  // namespace varve::test
