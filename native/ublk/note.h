// What a successor has to know of a ublk device: a file in the run directory for each. It is there
// before the device, and names it by a random number that only the kernel's device has as well: so
// no note is ever taken for that of another device, whoever made that, and whenever.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace varve::ublk {

struct Note {
  enum class Stage {
    kMade,      // not told to anybody yet
    kAttached,
    kLetGo,     // only its last users are waited for
    kEnding,    // nobody is to use it any more
  };
  std::uint64_t cookie = 0;
  Stage stage = Stage::kMade;
  bool is_read_only = false;
  std::string note{};  // of whoever attached it
};

[[nodiscard]] std::string encoded(const Note& note);
// Nothing for what is none, or one of another version.
[[nodiscard]] std::optional<Note> parse_note(const std::string& text);

// Not of any device that is or was there. Throws transport::TransportError.
[[nodiscard]] std::uint64_t random_cookie();

class Notes {
 public:
  // The directory is made with the first note.
  explicit Notes(std::string directory) : directory_(std::move(directory)) {}

  // In place of the one before; all of it or nothing. Throws transport::TransportError.
  void write(const Note& note) const;
  void remove(std::uint64_t cookie) const noexcept;
  // Takes away what a process that was killed has not written to its end.
  void remove_unfinished() const;
  // Those that make sense; others stay as they are.
  [[nodiscard]] std::vector<Note> all() const;

 private:
  [[nodiscard]] std::string path_of(std::uint64_t cookie) const;

  std::string directory_;
};

}  // namespace varve::ublk
