#include "image/global_config.h"

#include <cerrno>

#include "image/download_config.h"
#include "image/json_object.h"

namespace varve::image {

namespace {

constexpr const char* kNoCache = "there is no cache of remote layers yet";
constexpr const char* kNoRegistry = "no registry is asked for anything yet";

class Reader {
 public:
  Reader(const JsonObject& root, GlobalConfig& config) : root_(root), config_(config) {}

  void read() {
    read_caches();
    read_credentials();
    read_log();
    read_services();
    config_.download = read_download(root_, config_.notes);
    if (root_.unsigned32("ioEngine") > 2) root_.refuse("ioEngine", "must be 0, 1 or 2");
    if (root_.unsigned32("ioEngine") != 0) {
      note(root_, "ioEngine", "local files are read by pread, whatever engine is named");
    }
    if (root_.flag("enableThread")) {
      if (cache_type_ == "file") {
        root_.refuse("enableThread", "cannot be true together with the cache type file");
      }
      note(root_, "enableThread", "all devices are served by one set of threads");
    }
  }

 private:
  void note(const JsonObject& object, const char* key, const char* text) {
    config_.notes.push_back({object.name_of(key), text});
  }
  void note_if_there(const JsonObject& object, const char* key, const char* text) {
    if (object.has(key)) note(object, key, text);
  }

  void read_caches() {
    const JsonObject cache = root_.object("cacheConfig");
    cache_type_ = cache.text("cacheType");
    const bool is_legacy = cache_type_.empty();
    const std::string legacy_type = root_.text("cacheType", "file");
    static_cast<void>(root_.text("registryCacheDir"));
    static_cast<void>(root_.unsigned32("registryCacheSizeGB"));
    for (const char* key : {"cacheType", "registryCacheDir", "registryCacheSizeGB"}) {
      note_if_there(root_, key,
                    is_legacy ? kNoCache : "is not looked at: cacheConfig.cacheType is there");
    }
    if (is_legacy) cache_type_ = legacy_type;
    if (cache_type_ != "file" && cache_type_ != "ocf" && cache_type_ != "download") {
      (is_legacy ? root_ : cache).refuse("cacheType", "must be file, ocf or download");
    }
    static_cast<void>(cache.text("cacheDir"));
    static_cast<void>(cache.unsigned32("cacheSizeGB"));
    static_cast<void>(cache.unsigned32("blockSize"));
    const std::uint32_t refill = cache.unsigned32("refillSize", 262144);
    const bool is_power = refill != 0 && (refill & (refill - 1)) == 0;
    if (cache_type_ == "file" && (!is_power || refill % 4096 != 0)) {
      cache.refuse("refillSize", "must be a power of two, at least 4096");
    }
    for (const char* key : {"cacheType", "cacheDir", "cacheSizeGB", "refillSize", "blockSize"}) {
      note_if_there(cache, key, kNoCache);
    }
    const JsonObject gzip = root_.object("gzipCacheConfig");
    static_cast<void>(gzip.text("cacheDir"));
    static_cast<void>(gzip.unsigned32("cacheSizeGB"));
    static_cast<void>(gzip.unsigned32("refillSize"));
    if (gzip.flag("enable")) {
      note(gzip, "enable", "layers that point into an ordinary layer (TurboOCI) are not "
                           "supported yet, and so is their cache");
    }
  }

  void read_credentials() {
    const JsonObject credentials = root_.object("credentialConfig");
    static_cast<void>(credentials.integer("timeout", 1));
    for (const char* key :
         {"mode", "path", "client_cert_path", "client_key_path", "server_ca_path"}) {
      if (!credentials.text(key).empty()) note(credentials, key, kNoRegistry);
    }
    note_if_there(credentials, "timeout", kNoRegistry);
    const JsonObject certificates = root_.object("certConfig");
    for (const char* key : {"certFile", "keyFile"}) {
      if (!certificates.text(key).empty()) note(certificates, key, kNoRegistry);
    }
    for (const char* key : {"credentialFilePath", "registryFsVersion", "userAgent"}) {
      static_cast<void>(root_.text(key));
      note_if_there(root_, key, kNoRegistry);
    }
    const JsonObject peers = root_.object("p2pConfig");
    static_cast<void>(peers.text("address"));
    if (peers.flag("enable")) note(peers, "enable", kNoRegistry);
  }

  void read_log() {
    const JsonObject object = root_.object("logConfig");
    LogConfig log;
    log.path = object.text("logPath");
    log.level = object.unsigned32("logLevel", log.level);
    log.size_max_mb = object.unsigned32("logSizeMB", log.size_max_mb);
    log.rotated_files = object.integer("logRotateNum", log.rotated_files);
    LogConfig legacy;
    legacy.path = root_.text("logPath", legacy.path.c_str());
    legacy.level = root_.unsigned32("logLevel", legacy.level);
    if (!log.path.empty()) {
      for (const char* key : {"logLevel", "logPath"}) {
        note_if_there(root_, key, "is not looked at: logConfig.logPath is there");
      }
      config_.log = log;
    } else {
      for (const char* key : {"logLevel", "logSizeMB", "logRotateNum"}) {
        note_if_there(object, key, "is not looked at without logConfig.logPath, as in overlaybd");
      }
      if (root_.has("logLevel") || root_.has("logPath")) config_.log = legacy;
    }
    static_cast<void>(root_.text("auditPath"));
    const bool has_audit = root_.flag("enableAudit", true);
    if (has_audit) {
      for (const char* key : {"enableAudit", "auditPath"}) {
        note_if_there(root_, key, "there is no audit log; the control socket tells events");
      }
    }
  }

  void read_services() {
    const JsonObject exporter = root_.object("exporterConfig");
    static_cast<void>(exporter.text("uriPrefix"));
    static_cast<void>(exporter.integer("port", 9863));
    static_cast<void>(exporter.unsigned64("updateInterval"));
    if (exporter.flag("enable")) {
      note(exporter, "enable", "figures are to be had at the control socket, not by HTTP");
    }
    const JsonObject service = root_.object("serviceConfig");
    static_cast<void>(service.text("address"));
    if (service.flag("enable")) {
      note(service, "enable", "the control socket takes the place of this service");
    }
    const JsonObject prefetch = root_.object("prefetchConfig");
    static_cast<void>(prefetch.integer("concurrency", 16));
    note_if_there(prefetch, "concurrency", "recorded reads are not made ahead yet");
  }

  const JsonObject& root_;
  GlobalConfig& config_;
  std::string cache_type_;
};

}  // namespace

GlobalConfig load_global_config(const std::string& path) {
  return parse_global_config(read_text(path), path);
}

GlobalConfig parse_global_config(std::string_view text, const std::string& name) {
  const nlohmann::json document = parse_json(text, name);
  const JsonObject root(document, name);
  GlobalConfig config;
  Reader(root, config).read();
  return config;
}

}  // namespace varve::image
