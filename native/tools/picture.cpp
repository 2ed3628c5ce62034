#include "tools/picture.h"

#include <algorithm>

#include "tools/amounts.h"

namespace varve::tools {

namespace {

constexpr std::uint64_t divide_up(std::uint64_t value, std::uint64_t by) {
  return value / by + (value % by == 0 ? 0 : 1);
}

// How many sectors one letter stands for: at least one.
std::uint64_t cell_sectors(std::uint64_t size, const Canvas& canvas) {
  const std::uint64_t sectors = divide_up(size, lsmt::kSectorSize);
  return std::max<std::uint64_t>(1, divide_up(sectors, canvas.columns * canvas.rows_max));
}

// What of one stretch is mapped to what, in sectors.
struct Cell {
  std::uint64_t data = 0;
  std::uint64_t zeros = 0;

  [[nodiscard]] char letter(std::uint64_t sectors) const {
    if (data >= sectors) return '#';
    if (data > 0) return '+';
    return zeros > 0 ? 'z' : '.';
  }
};

}  // namespace

std::vector<std::string> draw(std::span<const lsmt::Mapping> mappings, std::uint64_t size,
                              const Canvas& canvas) {
  const std::uint64_t sectors = divide_up(size, lsmt::kSectorSize);
  const std::uint64_t each = cell_sectors(size, canvas);
  std::vector<Cell> cells(divide_up(sectors, each));
  for (const lsmt::Mapping& mapping : mappings) {
    const std::uint64_t end = std::min(mapping.end(), sectors);
    for (std::uint64_t at = mapping.first(); at < end;) {
      Cell& cell = cells[at / each];
      const std::uint64_t until = std::min(end, (at / each + 1) * each);
      (mapping.is_zeroed() ? cell.zeros : cell.data) += until - at;
      at = until;
    }
  }
  std::vector<std::string> labels;
  std::size_t width = 0;
  for (std::size_t first = 0; first < cells.size(); first += canvas.columns) {
    labels.push_back(size_text(first * each * lsmt::kSectorSize));
    width = std::max(width, labels.back().size());
  }
  std::vector<std::string> lines;
  for (std::size_t row = 0; row < labels.size(); ++row) {
    std::string line = std::string(width - labels[row].size(), ' ') + labels[row] + "  ";
    const std::size_t first = row * canvas.columns;
    const std::size_t end = std::min(cells.size(), first + canvas.columns);
    for (std::size_t at = first; at < end; ++at) {
      line += cells[at].letter(std::min(each, sectors - at * each));
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

std::string legend(std::uint64_t size, const Canvas& canvas) {
  return "each letter " + size_text(cell_sectors(size, canvas) * lsmt::kSectorSize) +
         ": # data, + partly data, z zeros, . not mapped";
}

}  // namespace varve::tools
