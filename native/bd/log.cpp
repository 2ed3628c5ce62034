#include "bd/log.h"

#include <spdlog/async.h>
#include <spdlog/details/file_helper.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <exception>
#include <mutex>
#include <stdexcept>

namespace varve::bd {

namespace {

constexpr std::size_t kLinesWaitingMax = 4096;

constexpr std::array<const char*, 6> kLevelNames = {"trace", "debug", "info",
                                                    "warn",  "error", "fatal"};

const char* name_of(LogLevel level) noexcept {
  return kLevelNames[static_cast<std::size_t>(level)];
}

// Each turn renames every one.
constexpr int kRotatedFilesMax = 1000;

// A file that is rotated as overlaybd does it: path, path.1, path.2. spdlog's own would put the
// number before the suffix, where nobody who collects such logs looks for it.
class RotatedFileSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  RotatedFileSink(std::string path, std::size_t size_max_bytes, int rotated_files)
      : path_(std::move(path)), size_max_bytes_(size_max_bytes), rotated_files_(rotated_files) {
    open(false);
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    if (!is_open_) open(false);
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    if (size_bytes_ > 0 && size_bytes_ + line.size() > size_max_bytes_) rotate();
    file_.write(line);
    size_bytes_ += line.size();
  }
  void flush_() override {
    if (is_open_) file_.flush();
  }

 private:
  [[nodiscard]] std::string rotated(int number) const {
    return number == 0 ? path_ : path_ + "." + std::to_string(number);
  }

  void open(bool is_to_be_empty) {
    file_.open(path_, is_to_be_empty);
    is_open_ = true;
    size_bytes_ = file_.size();
  }

  void rotate() {
    file_.close();
    is_open_ = false;
    // What cannot be renamed is lost rather than that the log outgrows its bound.
    for (int number = rotated_files_; number > 0; --number) {
      std::rename(rotated(number - 1).c_str(), rotated(number).c_str());
    }
    open(true);
  }

  const std::string path_;
  const std::size_t size_max_bytes_;
  const int rotated_files_;
  spdlog::details::file_helper file_;
  bool is_open_ = false;
  std::size_t size_bytes_ = 0;
};

spdlog::sink_ptr sink_of(const std::optional<image::LogConfig>& file) {
  if (!file || file->path.empty()) return std::make_shared<spdlog::sinks::stderr_sink_mt>();
  try {
    // Without a size it grows for ever.
    if (file->size_max_mb == 0) {
      return std::make_shared<spdlog::sinks::basic_file_sink_mt>(file->path);
    }
    return std::make_shared<RotatedFileSink>(
        file->path, std::size_t{file->size_max_mb} << 20,
        std::clamp(file->rotated_files, 0, kRotatedFilesMax));
  } catch (const spdlog::spdlog_ex& error) {
    throw std::runtime_error("the log cannot be written to " + file->path + ": " + error.what());
  }
}

}  // namespace

std::optional<LogLevel> parse_log_level(std::string_view text) noexcept {
  for (std::size_t index = 0; index < kLevelNames.size(); ++index) {
    if (text == kLevelNames[index]) return static_cast<LogLevel>(index);
  }
  return std::nullopt;
}

std::string utc_now() {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const auto milliseconds =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  std::tm parts = {};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 32> text = {};
  const std::size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  std::array<char, 8> fraction = {};
  std::snprintf(fraction.data(), fraction.size(), ".%03dZ", static_cast<int>(milliseconds));
  return std::string(text.data(), length) + fraction.data();
}

// The writing thread and the logger that it writes for.
class Log::Lines {
 public:
  explicit Lines(const std::optional<image::LogConfig>& file)
      : thread_(std::make_shared<spdlog::details::thread_pool>(kLinesWaitingMax, 1)),
        logger_(std::make_shared<spdlog::async_logger>(
            "varve-bd", sink_of(file), thread_, spdlog::async_overflow_policy::overrun_oldest)) {
    logger_->set_pattern("%v");
    logger_->set_level(spdlog::level::trace);
    logger_->flush_on(spdlog::level::trace);
    // What cannot be logged can be told to nobody.
    logger_->set_error_handler([](const std::string&) {});
  }

  // The thread before what it writes with: their counts of references order the two as well, but in
  // a library where ThreadSanitizer does not see it.
  ~Lines() { thread_.reset(); }
  Lines(const Lines&) = delete;
  Lines& operator=(const Lines&) = delete;

  void write(const std::string& line) { logger_->log(spdlog::level::info, line); }

 private:
  std::shared_ptr<spdlog::details::thread_pool> thread_;
  std::shared_ptr<spdlog::async_logger> logger_;
};

Log::Log(LogLevel level, const std::optional<image::LogConfig>& file)
    : level_(level), lines_(std::make_unique<Lines>(file)) {}
Log::~Log() = default;

void Log::write(LogLevel level, std::string_view message, const Json& fields) noexcept {
  if (level < level_) return;
  try {
    Json line = {{"level", name_of(level)}, {"time", utc_now()}};
    for (const auto& [name, value] : fields.items()) line[name] = value;
    line["msg"] = message;
    lines_->write(to_line(line));
  } catch (const std::exception&) {
    // Without memory for the line there is none.
  }
}

}  // namespace varve::bd
