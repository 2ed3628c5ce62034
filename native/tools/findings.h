// What a check of a layer file found.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace varve::tools {

enum class Severity {
  kDefect,  // the file is not what it has to be
  kNote,    // readers take it, but whoever looks should know
};

// What the offset of a finding counts in.
enum class Within { kFile, kContent };

struct Finding {
  Severity severity = Severity::kDefect;
  Within within = Within::kFile;
  std::uint64_t offset = 0;
  std::string text;
};

// Collects what is found in one file, up to a limit: a hostile file may have a defect in every
// entry.
class Findings {
 public:
  static constexpr std::size_t kKeptMax = 1000;

  void add(Finding finding) {
    if (finding.severity == Severity::kDefect) ++defects_;
    if (kept_.size() < kKeptMax) {
      kept_.push_back(std::move(finding));
    } else {
      ++left_out_;
    }
  }

  [[nodiscard]] const std::vector<Finding>& kept() const noexcept { return kept_; }
  [[nodiscard]] std::uint64_t left_out() const noexcept { return left_out_; }
  [[nodiscard]] std::uint64_t defects() const noexcept { return defects_; }

 private:
  std::vector<Finding> kept_;
  std::uint64_t left_out_ = 0;
  std::uint64_t defects_ = 0;
};

// Where a part of a file lies, for the offsets of what is found in it.
class Place {
 public:
  Place(Findings& findings, Within within, std::uint64_t offset)
      : findings_(&findings), within_(within), offset_(offset) {}

  void defect(std::uint64_t offset, std::string text) const {
    findings_->add({Severity::kDefect, within_, offset_ + offset, std::move(text)});
  }
  void note(std::uint64_t offset, std::string text) const {
    findings_->add({Severity::kNote, within_, offset_ + offset, std::move(text)});
  }

 private:
  Findings* findings_;
  Within within_;
  std::uint64_t offset_;
};

}  // namespace varve::tools
