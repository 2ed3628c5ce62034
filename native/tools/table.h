// A table of text with aligned columns: numbers to the right, everything else to the left.
#pragma once

#include <string>
#include <vector>

namespace varve::tools {

class Table {
 public:
  explicit Table(std::vector<std::string> headings);

  // As many cells as there are headings.
  void add(std::vector<std::string> row);
  // A line for the headings and for each row, each ended by a newline.
  [[nodiscard]] std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;  // the first one holds the headings
};

// Names and values, the values below each other.
class Fields {
 public:
  void add(std::string name, std::string value);
  // A line each, indented by `indent` spaces.
  [[nodiscard]] std::string text(std::size_t indent) const;

 private:
  struct Field {
    std::string name;
    std::string value;
  };
  std::vector<Field> fields_;
};

}  // namespace varve::tools
