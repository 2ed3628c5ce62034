// The configuration of overlaybd's daemon: nothing in it is passed over in silence.
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "image/global_config.h"
#include "test/refusal.h"

namespace varve::test {

namespace {

using image::GlobalConfig;

GlobalConfig parse(const std::string& text) { return image::parse_global_config(text, "global"); }

std::string refusal_of(const std::string& text) {
  return test::refusal_of([&text] { static_cast<void>(parse(text)); });
}

TEST(GlobalConfig, MayBeEmpty) {
  const GlobalConfig config = parse("{}");
  EXPECT_FALSE(config.log);
  EXPECT_FALSE(config.download.is_enabled);
  EXPECT_TRUE(config.notes.empty());
}

TEST(GlobalConfig, TellsOfEveryKeyThatDoesNothingHere) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"cacheConfig": {"cacheType": "ocf"}})", "cacheConfig.cacheType"},
      {R"({"cacheConfig": {"cacheDir": "/c"}})", "cacheConfig.cacheDir"},
      {R"({"cacheConfig": {"cacheSizeGB": 8}})", "cacheConfig.cacheSizeGB"},
      {R"({"cacheConfig": {"refillSize": 8192}})", "cacheConfig.refillSize"},
      {R"({"cacheConfig": {"blockSize": 8192}})", "cacheConfig.blockSize"},
      {R"({"cacheType": "download"})", "cacheType"},
      {R"({"registryCacheDir": "/c"})", "registryCacheDir"},
      {R"({"registryCacheSizeGB": 8})", "registryCacheSizeGB"},
      {R"({"gzipCacheConfig": {"enable": true}})", "gzipCacheConfig.enable"},
      {R"({"credentialConfig": {"mode": "file"}})", "credentialConfig.mode"},
      {R"({"credentialConfig": {"path": "/c"}})", "credentialConfig.path"},
      {R"({"credentialConfig": {"timeout": 2}})", "credentialConfig.timeout"},
      {R"({"credentialConfig": {"client_cert_path": "/c"}})", "credentialConfig.client_cert_path"},
      {R"({"credentialConfig": {"client_key_path": "/c"}})", "credentialConfig.client_key_path"},
      {R"({"credentialConfig": {"server_ca_path": "/c"}})", "credentialConfig.server_ca_path"},
      {R"({"credentialFilePath": "/c"})", "credentialFilePath"},
      {R"({"ioEngine": 1})", "ioEngine"},
      {R"({"download": {"enable": true}})", "download.enable"},
      {R"({"p2pConfig": {"enable": true}})", "p2pConfig.enable"},
      {R"({"exporterConfig": {"enable": true}})", "exporterConfig.enable"},
      {R"({"logConfig": {"logLevel": 0}})", "logConfig.logLevel"},
      {R"({"logConfig": {"logSizeMB": 1}})", "logConfig.logSizeMB"},
      {R"({"logConfig": {"logRotateNum": 1}})", "logConfig.logRotateNum"},
      {R"({"logConfig": {"logPath": "/l"}, "logPath": "/m"})", "logPath"},
      {R"({"logConfig": {"logPath": "/l"}, "logLevel": 1})", "logLevel"},
      {R"({"enableAudit": true})", "enableAudit"},
      {R"({"auditPath": "/a"})", "auditPath"},
      {R"({"cacheType": "ocf", "enableThread": true})", "enableThread"},
      {R"({"registryFsVersion": "v1"})", "registryFsVersion"},
      {R"({"prefetchConfig": {"concurrency": 4}})", "prefetchConfig.concurrency"},
      {R"({"certConfig": {"certFile": "/c"}})", "certConfig.certFile"},
      {R"({"certConfig": {"keyFile": "/c"}})", "certConfig.keyFile"},
      {R"({"userAgent": "x"})", "userAgent"},
      {R"({"serviceConfig": {"enable": true}})", "serviceConfig.enable"},
  };
  for (const auto& [text, key] : cases) {
    const GlobalConfig config = parse(text);
    ASSERT_FALSE(config.notes.empty()) << text;
    EXPECT_EQ(config.notes.back().key, key) << text;
    EXPECT_FALSE(config.notes.back().text.empty()) << text;
  }
}

TEST(GlobalConfig, TakesTheLogFromTheNewKeysOrElseTheOldOnes) {
  const GlobalConfig fresh = parse(
      R"({"logConfig": {"logPath": "/l", "logLevel": 2, "logSizeMB": 5, "logRotateNum": 7}})");
  ASSERT_TRUE(fresh.log);
  EXPECT_EQ(fresh.log->path, "/l");
  EXPECT_EQ(fresh.log->level, 2U);
  EXPECT_EQ(fresh.log->size_max_mb, 5U);
  EXPECT_EQ(fresh.log->rotated_files, 7);
  EXPECT_TRUE(fresh.notes.empty());
  const GlobalConfig old = parse(R"({"logLevel": 3, "logConfig": {"logLevel": 0}})");
  ASSERT_TRUE(old.log);
  EXPECT_EQ(old.log->path, "/var/log/overlaybd.log");
  EXPECT_EQ(old.log->level, 3U);
  EXPECT_EQ(old.log->size_max_mb, 10U);
}

TEST(GlobalConfig, TakesTheDefaultsForDownloads) {
  const GlobalConfig config = parse(R"({"download": {"delay": 7, "maxMBps": 9}})");
  EXPECT_EQ(config.download.delay_seconds, 7);
  EXPECT_EQ(config.download.rate_max_mb, 9);
}

TEST(GlobalConfig, IsRefusedByTheNameOfTheKey) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"cacheConfig": {"cacheType": "x"}})", "global: cacheConfig.cacheType: must be file"},
      {R"({"cacheType": "x"})", "global: cacheType: must be file"},
      {R"({"cacheConfig": {"refillSize": 5000}})", "global: cacheConfig.refillSize: must be a"},
      {R"({"cacheConfig": {"refillSize": 0}})", "global: cacheConfig.refillSize: must be a"},
      {R"({"cacheConfig": {"cacheSizeGB": "4"}})", "global: cacheConfig.cacheSizeGB: must be"},
      {R"({"ioEngine": 3})", "global: ioEngine: must be 0, 1 or 2"},
      {R"({"enableThread": true})", "global: enableThread: cannot be true together"},
      {R"({"logConfig": {"logLevel": -1}})", "global: logConfig.logLevel: must not be negative"},
      {R"({"exporterConfig": {"updateInterval": []}})", "global: exporterConfig.updateInterval: m"},
      {R"({"p2pConfig": 1})", "global: p2pConfig: must be an object, is a number"},
      {R"({"download": {"enable": "x"}})", "global: download.enable: must be true"},
      {R"({"logLevel": 1, "logLevel": 2})", "global: logLevel: appears twice"},
      {R"([])", "global: the document: must be an object"},
  };
  for (const auto& [text, expected] : cases) {
    EXPECT_TRUE(refusal_of(text).starts_with(expected)) << text << "\n" << refusal_of(text);
  }
}

}  // namespace

}  // namespace varve::test
