#include "lsmt/writable_index.h"

#include <algorithm>
#include <array>
#include <iterator>

namespace varve::lsmt {

namespace {

// Moving half of a run on average costs about as much as finding the place.
constexpr std::size_t kRunMax = 256;

std::ptrdiff_t step(std::size_t count) { return static_cast<std::ptrdiff_t>(count); }

}  // namespace

void WritableIndex::put(const Mapping& mapping) { replace(mapping.range(), &mapping); }

void WritableIndex::erase(SectorRange range) { replace(range, nullptr); }

WritableIndex::Place WritableIndex::place_of(std::uint64_t sector) const noexcept {
  const auto behind = std::upper_bound(firsts_.begin(), firsts_.end(), sector);
  if (behind == firsts_.begin()) return {};
  const auto run = static_cast<std::size_t>(behind - firsts_.begin()) - 1;
  const Run& mappings = runs_[run];
  const auto found =
      std::partition_point(mappings.begin(), mappings.end(),
                           [sector](const Mapping& mapping) { return mapping.end() <= sector; });
  if (found == mappings.end()) return {run + 1, 0};
  return {run, static_cast<std::size_t>(found - mappings.begin())};
}

void WritableIndex::replace(SectorRange range, const Mapping* with) {
  const Place place = place_of(range.first);
  std::array<Mapping, 3> pieces;
  std::size_t count = 0;
  if (place.run < runs_.size()) {
    const Mapping& reaching_in = runs_[place.run][place.at];
    if (reaching_in.first() < range.first) {
      pieces[count++] =
          reaching_in.trimmed({reaching_in.first(), range.first - reaching_in.first()});
    }
  }
  if (with != nullptr) pieces[count++] = *with;

  // Everything that begins inside of the range goes; the last of it may reach out.
  std::size_t run = place.run;
  std::size_t from = place.at;
  while (run < runs_.size()) {
    Run& mappings = runs_[run];
    const auto begin = mappings.begin() + step(from);
    const auto end = std::find_if(begin, mappings.end(), [&range](const Mapping& mapping) {
      return mapping.first() >= range.end();
    });
    if (begin != end) {
      const Mapping& last = *std::prev(end);
      if (last.end() > range.end()) {
        pieces[count++] = last.trimmed({range.end(), last.end() - range.end()});
      }
      size_ -= static_cast<std::size_t>(end - begin);
    }
    const bool goes_on = end == mappings.end();
    mappings.erase(begin, end);
    if (!goes_on) break;
    ++run;
    from = 0;
  }
  // Runs between the first and the last one touched are empty now.
  if (run > place.run + 1) {
    const auto first = step(place.run + 1);
    runs_.erase(runs_.begin() + first, runs_.begin() + step(run));
    firsts_.erase(firsts_.begin() + first, firsts_.begin() + step(run));
  }
  if (place.run + 1 < runs_.size()) drop_run_if_empty(place.run + 1);
  if (place.run + 1 < runs_.size()) firsts_[place.run + 1] = runs_[place.run + 1].front().first();

  // Behind the last run: its end is the place.
  Place target = place;
  if (target.run == runs_.size() && target.run > 0) {
    target = {target.run - 1, runs_[target.run - 1].size()};
  }
  if (runs_.empty()) {
    if (count == 0) return;
    runs_.emplace_back();
    firsts_.push_back(0);
  }
  Run& mappings = runs_[target.run];
  mappings.insert(mappings.begin() + step(target.at), pieces.begin(), pieces.begin() + step(count));
  size_ += count;
  if (mappings.empty()) {
    drop_run_if_empty(target.run);
    return;
  }
  firsts_[target.run] = mappings.front().first();
  split_if_long(target.run);
}

void WritableIndex::drop_run_if_empty(std::size_t run) {
  if (!runs_[run].empty()) return;
  runs_.erase(runs_.begin() + step(run));
  firsts_.erase(firsts_.begin() + step(run));
}

void WritableIndex::split_if_long(std::size_t run) {
  if (runs_[run].size() <= kRunMax) return;
  // Runs that are written in order stay nearly full: only what is behind the end moves.
  const bool is_last = run + 1 == runs_.size();
  const std::size_t keep = is_last ? kRunMax * 7 / 8 : kRunMax / 2;
  Run rest(runs_[run].begin() + step(keep), runs_[run].end());
  rest.reserve(kRunMax + 3);
  runs_[run].resize(keep);
  firsts_.insert(firsts_.begin() + step(run + 1), rest.front().first());
  runs_.insert(runs_.begin() + step(run + 1), std::move(rest));
}

void WritableIndex::find(SectorRange range, Found& found) const noexcept {
  found.count = 0;
  const Place place = place_of(range.first);
  std::size_t at = place.at;
  for (std::size_t run = place.run; run < runs_.size(); ++run, at = 0) {
    for (; at < runs_[run].size(); ++at) {
      const Mapping& mapping = runs_[run][at];
      if (mapping.first() >= range.end() || found.count == kFoundMax) return;
      found.mappings[found.count++] = mapping.trimmed(range);
    }
  }
}

bool WritableIndex::is_all_data(SectorRange range) const noexcept {
  const Place place = place_of(range.first);
  std::uint64_t sector = range.first;
  std::size_t at = place.at;
  for (std::size_t run = place.run; run < runs_.size(); ++run, at = 0) {
    for (; at < runs_[run].size(); ++at) {
      const Mapping& mapping = runs_[run][at];
      if (mapping.first() > sector || mapping.is_zeroed()) return false;
      sector = mapping.end();
      if (sector >= range.end()) return true;
    }
  }
  return false;
}

MappingArray WritableIndex::to_array() const {
  MappingArray array(size_);
  for (const Run& run : runs_) {
    for (const Mapping& mapping : run) array.push_back(mapping);
  }
  return array;
}

}  // namespace varve::lsmt
