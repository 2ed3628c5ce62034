#include "ublk/note.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "syscalls/unique_fd.h"
#include "transport/kernel_files.h"
#include "transport/transport.h"

namespace varve::ublk {

namespace {

constexpr std::uint64_t kVersion = 1;
constexpr std::string_view kSuffix = ".json";
constexpr std::string_view kUnfinishedSuffix = ".json.new";
constexpr std::array kStages = {"made", "attached", "let-go", "ending"};

[[noreturn]] void fail(const std::string& step, int error) {
  throw transport::TransportError(error, step + ": " + std::strerror(error));
}

}  // namespace

std::string encoded(const Note& note) {
  return nlohmann::json({{"version", kVersion},
                         {"cookie", note.cookie},
                         {"stage", kStages.at(static_cast<std::size_t>(note.stage))},
                         {"readOnly", note.is_read_only},
                         {"note", note.note}})
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::optional<Note> parse_note(const std::string& text) {
  try {
    const auto document = nlohmann::json::parse(text);
    if (document.at("version").get<std::uint64_t>() != kVersion) return std::nullopt;
    Note note{.cookie = document.at("cookie").get<std::uint64_t>(),
              .is_read_only = document.at("readOnly").get<bool>(),
              .note = document.at("note").get<std::string>()};
    const auto stage = document.at("stage").get<std::string>();
    for (std::size_t at = 0; at < kStages.size(); ++at) {
      if (stage != kStages[at]) continue;
      note.stage = static_cast<Note::Stage>(at);
      return note;
    }
  } catch (const nlohmann::json::exception&) {
    // It is none.
  }
  return std::nullopt;
}

std::uint64_t random_cookie() {
  std::uint64_t cookie = 0;
  if (::getrandom(&cookie, sizeof cookie, 0) != sizeof cookie) fail("getrandom", errno);
  return cookie;
}

std::string Notes::path_of(std::uint64_t cookie) const {
  std::array<char, 32> name = {};
  static_cast<void>(std::snprintf(name.data(), name.size(), "%016llx",
                                  static_cast<unsigned long long>(cookie)));
  return directory_ + "/" + name.data() + std::string(kSuffix);
}

void Notes::write(const Note& note) const {
  if (::mkdir(directory_.c_str(), 0700) != 0 && errno != EEXIST) fail(directory_, errno);
  const std::string path = path_of(note.cookie);
  const std::string whole = path.substr(0, path.size() - kSuffix.size()) +
                            std::string(kUnfinishedSuffix);
  const std::string text = encoded(note);
  {
    const UniqueFd file(
        ::open(whole.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file) fail(whole, errno);
    if (::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
      fail(whole, errno != 0 ? errno : ENOSPC);
    }
  }
  if (::rename(whole.c_str(), path.c_str()) != 0) fail(path, errno);
}

void Notes::remove(std::uint64_t cookie) const noexcept { ::unlink(path_of(cookie).c_str()); }

void Notes::remove_unfinished() const {
  for (const std::string& name : transport::names_in(directory_)) {
    if (name.ends_with(kUnfinishedSuffix)) ::unlink((directory_ + "/" + name).c_str());
  }
}

std::vector<Note> Notes::all() const {
  std::vector<Note> notes;
  for (const std::string& name : transport::names_in(directory_)) {
    if (!name.ends_with(kSuffix)) continue;
    std::ifstream file(directory_ + "/" + name);
    const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (const auto note = parse_note(text)) {
      if (path_of(note->cookie) == directory_ + "/" + name) notes.push_back(*note);
    }
  }
  return notes;
}

}  // namespace varve::ublk
