#include "tools/table.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace varve::tools {

namespace {

bool is_number(const std::string& cell) {
  return std::all_of(cell.begin(), cell.end(),
                     [](char letter) { return letter >= '0' && letter <= '9'; });
}

}  // namespace

Table::Table(std::vector<std::string> headings) { rows_.push_back(std::move(headings)); }

void Table::add(std::vector<std::string> row) {
  assert(row.size() == rows_.front().size());
  rows_.push_back(std::move(row));
}

std::string Table::text() const {
  const std::size_t columns = rows_.front().size();
  std::vector<std::size_t> widths(columns, 0);
  std::vector<bool> are_numbers(columns, true);
  for (std::size_t at = 0; at < rows_.size(); ++at) {
    for (std::size_t column = 0; column < columns; ++column) {
      const std::string& cell = rows_[at][column];
      widths[column] = std::max(widths[column], cell.size());
      if (at > 0 && !is_number(cell)) are_numbers[column] = false;
    }
  }
  std::string text;
  for (const std::vector<std::string>& row : rows_) {
    std::string line;
    for (std::size_t column = 0; column < columns; ++column) {
      const std::string blanks(widths[column] - row[column].size(), ' ');
      if (column > 0) line += "  ";
      line += are_numbers[column] ? blanks + row[column] : row[column] + blanks;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

void Fields::add(std::string name, std::string value) {
  fields_.push_back({std::move(name), std::move(value)});
}

std::string Fields::text(std::size_t indent) const {
  std::size_t width = 0;
  for (const Field& field : fields_) width = std::max(width, field.name.size());
  std::string text;
  for (const Field& field : fields_) {
    text += std::string(indent, ' ') + field.name +
            std::string(width - field.name.size() + 2, ' ') + field.value + "\n";
  }
  return text;
}

}  // namespace varve::tools
