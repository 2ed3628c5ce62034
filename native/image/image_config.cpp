#include "image/image_config.h"

#include <algorithm>
#include <cerrno>

#include "image/download_config.h"
#include "image/json_object.h"
#include "lsmt/overlay.h"

namespace varve::image {

namespace {

constexpr const char* kNoTurboOci = "layers that point into an ordinary layer (TurboOCI) are not "
                                    "supported yet";

// Fields of layers that are not ours to read yet: the layer would show wrong content without them.
void refuse_target(const JsonObject& object, std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    if (!object.text(key).empty()) object.refuse(key, kNoTurboOci);
  }
}

bool is_digest(const std::string& text) {
  const std::size_t colon = text.find(':');
  if (colon == 0 || colon == std::string::npos || colon + 1 == text.size()) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("+._-=:").find(c) != std::string_view::npos;
  });
}

LowerConfig read_lower(const JsonObject& object) {
  LowerConfig lower;
  lower.file = object.text("file");
  lower.directory = object.text("dir");
  lower.digest = object.text("digest");
  lower.size = object.unsigned64("size");
  if (!lower.digest.empty() && !is_digest(lower.digest)) {
    object.refuse("digest", "is no digest, which would be such as sha256:0f3a...");
  }
  refuse_target(object, {"targetFile", "targetDigest", "gzipIndex"});
  return lower;
}

void read_lowers(const JsonObject& root, ImageConfig& config) {
  std::size_t count = root.array_size("lowers");
  const bool is_accelerated = root.flag("accelerationLayer");
  if (is_accelerated) {
    if (count == 0) root.refuse("accelerationLayer", "there is no lower layer that could be one");
    --count;
    config.notes.push_back({"accelerationLayer",
                            "the last of lowers holds no data and is left out; the reads that it "
                            "records are not made ahead yet"});
  }
  if (count > lsmt::kStackLayersMax) {
    root.refuse("lowers", "has " + std::to_string(count) + " layers, a stack has at most " +
                              std::to_string(lsmt::kStackLayersMax));
  }
  config.lowers.reserve(count);
  for (std::size_t at = 0; at < count; ++at) {
    config.lowers.push_back(read_lower(root.entry("lowers", at)));
  }
  // Checked like the others, though nothing is taken from it.
  if (is_accelerated) read_lower(root.entry("lowers", count));
}

void read_upper(const JsonObject& root, ImageConfig& config) {
  const JsonObject object = root.object("upper");
  const UpperConfig upper{object.text("data"), object.text("index")};
  if (!upper.data.empty() && !upper.index.empty()) config.upper = upper;
  refuse_target(object, {"target", "gzipIndex"});
  if (config.upper || (upper.data.empty() && upper.index.empty())) return;
  if (upper.data.empty()) object.refuse("data", "is missing, upper.index is there");
  object.refuse("index", "is missing, upper.data is there");
}

void read_rest(const JsonObject& root, ImageConfig& config) {
  config.repository_url = root.text("repoBlobUrl");
  // First, so that its files are known also when something else is refused.
  read_upper(root, config);
  read_lowers(root, config);
  if (config.lowers.empty() && !config.upper) {
    root.refuse("lowers", "there is no layer, and no upper");
  }
  if (root.has("download")) config.download = read_download(root, config.notes);
  if (!root.text("recordTracePath").empty()) {
    root.refuse("recordTracePath",
                root.flag("accelerationLayer")
                    ? "cannot be there together with accelerationLayer"
                    : "recording and replaying reads is not supported yet; leave it out");
  }
}

}  // namespace

DownloadConfig read_download(const JsonObject& root, std::vector<Note>& notes) {
  const JsonObject object = root.object("download");
  DownloadConfig download;
  download.is_enabled = object.flag("enable");
  download.delay_seconds = object.integer("delay", download.delay_seconds);
  download.delay_extra_seconds = object.integer("delayExtra", download.delay_extra_seconds);
  if (download.delay_extra_seconds <= 0) download.delay_extra_seconds = 30;
  download.rate_max_mb = object.integer("maxMBps", download.rate_max_mb);
  download.attempts = object.integer("tryCnt", download.attempts);
  download.block_bytes = object.unsigned32("blockSize", download.block_bytes);
  if (download.is_enabled) {
    notes.push_back({"download.enable",
                     "nothing is downloaded yet: every layer has to be on this machine"});
  }
  return download;
}

ImageConfig load_image_config(const std::string& path) {
  return parse_image_config(read_text(path), path);
}

ImageConfig parse_image_config(std::string_view text, const std::string& name) {
  const nlohmann::json document = parse_json(text, name);
  const JsonObject root(document, name);
  ImageConfig config;
  config.name = name;
  config.result_file = root.text("resultFile");
  try {
    read_rest(root, config);
  } catch (const ConfigError& error) {
    throw ConfigError(error.error(), error.what(), std::move(config));
  }
  return config;
}

}  // namespace varve::image
