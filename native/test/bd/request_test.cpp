// Requests of the control protocol: what is taken, with which defaults, and what is refused, by
// name.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "bd/request.h"

namespace varve::test {

using bd::Request;
using bd::RequestError;
using transport::CloseMode;

namespace {

Request parsed(const std::string& line) {
  std::optional<std::uint64_t> id;
  Request request = bd::parse_request(line, id);
  EXPECT_EQ(id, request.id);
  return request;
}

// A line with what every request has, and some fields.
std::string line(const std::string& operation, const std::string& fields = "") {
  return R"({"version":1,"id":7,"operation":")" + operation + "\"" +
         (fields.empty() ? "" : "," + fields) + "}";
}

struct Refusal {
  std::string code;
  std::string text;
  std::optional<std::uint64_t> id;
};

Refusal refusal(const std::string& line) {
  Refusal found;
  try {
    bd::parse_request(line, found.id);
  } catch (const RequestError& error) {
    found.code = error.code();
    found.text = error.what();
  }
  return found;
}

}  // namespace

TEST(RequestTest, AnOpenHasItsFieldsAndDefaults) {
  const auto plain = std::get<bd::OpenRequest>(parsed(line("open", R"("config":"/a")")).operation);
  EXPECT_EQ(plain.config, "/a");
  EXPECT_EQ(plain.device, "");
  EXPECT_FALSE(plain.is_read_only);
  EXPECT_EQ(plain.deadline, bd::kOpenDeadline);
  const auto full = std::get<bd::OpenRequest>(
      parsed(line("open", R"("config":"/é","device":"a.B-1:x_","readOnly":true,"deadlineMs":5)"))
          .operation);
  EXPECT_EQ(full.config, "/é");
  EXPECT_EQ(full.device, "a.B-1:x_");
  EXPECT_TRUE(full.is_read_only);
  EXPECT_EQ(full.deadline, std::chrono::milliseconds(5));
}

TEST(RequestTest, ACloseHasAModeAndPatience) {
  const auto plain = std::get<bd::CloseRequest>(parsed(line("close", R"("device":"a")")).operation);
  EXPECT_EQ(plain.mode, CloseMode::kIfUnused);
  EXPECT_EQ(plain.patience, bd::kClosePatience);
  const auto full = std::get<bd::CloseRequest>(
      parsed(line("close", R"("device":"a","mode":"abort","patienceMs":0)")).operation);
  EXPECT_EQ(full.mode, CloseMode::kAbort);
  EXPECT_EQ(full.patience, std::chrono::milliseconds(0));
}

TEST(RequestTest, ACommitSaysHowTheLayerIsWritten) {
  const auto plain = std::get<bd::CommitRequest>(
      parsed(line("commit", R"("device":"a","output":"/o")")).operation);
  EXPECT_EQ(plain.compression, bd::Compression::kLz4);
  EXPECT_EQ(plain.block_size_bytes, 4096U);
  EXPECT_FALSE(plain.is_tar);
  const auto full = std::get<bd::CommitRequest>(
      parsed(line("commit", R"("device":"a","output":"/o","algorithm":"zstd","tar":true,)"
                            R"("blockSizeBytes":65536,"userTag":"t",)"
                            R"("uuid":"123e4567-e89b-12d3-a456-426614174000")"))
          .operation);
  EXPECT_EQ(full.compression, bd::Compression::kZstd);
  EXPECT_EQ(full.block_size_bytes, 65536U);
  EXPECT_TRUE(full.is_tar);
  EXPECT_EQ(full.user_tag, "t");
  EXPECT_EQ(full.uuid, "123E4567-E89B-12D3-A456-426614174000");
}

TEST(RequestTest, TheOthersAreTaken) {
  EXPECT_TRUE(std::holds_alternative<bd::ListRequest>(parsed(line("list")).operation));
  EXPECT_TRUE(std::holds_alternative<bd::MetricsRequest>(parsed(line("metrics")).operation));
  EXPECT_TRUE(std::holds_alternative<bd::EventsRequest>(parsed(line("events")).operation));
  EXPECT_EQ(std::get<bd::StatsRequest>(parsed(line("stats")).operation).device, "");
  EXPECT_EQ(std::get<bd::SealRequest>(parsed(line("seal", R"("device":"a")")).operation).device,
            "a");
  const auto resize = std::get<bd::ResizeRequest>(
      parsed(line("resize", R"("device":"a","sizeBytes":1024)")).operation);
  EXPECT_EQ(resize.size_bytes, 1024U);
}

TEST(RequestTest, WhatIsNoRequestIsRefusedByName) {
  const std::string long_name(129, 'a');
  const std::string long_path = "/" + std::string(5000, 'a');
  const std::vector<std::pair<std::string, std::vector<std::string>>> cases = {
      {"", {"bad-json"}},
      {"{", {"bad-json"}},
      {"[]", {"bad-json", "not array"}},
      {"null", {"bad-json", "not null"}},
      {"{} {}", {"bad-json", "byte 4"}},
      {"{\"id\":\"\xff\"}", {"bad-json", "UTF-8"}},
      {std::string(60000, '['), {"bad-json"}},
      {R"({"id":1,"id":2})", {"bad-json", "\"id\" is there twice"}},
      {"{}", {"missing-field", "id"}},
      {R"({"id":-1})", {"invalid-value", "id must be from 0"}},
      {R"({"id":1.5})", {"wrong-type", "id must be a whole number, not 1.5"}},
      {R"({"id":"1"})", {"wrong-type", "id must be a whole number, not string"}},
      {R"({"id":18446744073709551616})", {"wrong-type", "id"}},
      {R"({"id":1e400})", {"bad-json", "a number that is too large"}},
      {R"({"id":9007199254740992})", {"invalid-value", "id"}},
      {R"({"id":7})", {"missing-field", "version"}},
      {R"({"id":7,"version":2})", {"unsupported-version", "only version 1"}},
      {R"({"id":7,"version":1})", {"missing-field", "operation"}},
      {R"({"id":7,"version":1,"operation":{}})", {"wrong-type", "operation"}},
      {line("oepn"), {"unknown-operation", "oepn", "there are open, close"}},
      {line("open\\u001b"), {"unknown-operation", "open\\u001b"}},
      {line("open"), {"missing-field", "open needs the field config"}},
      {line("open", R"("config":null)"), {"wrong-type", "config must be a string, not null"}},
      {line("open", R"("config":["/a"])"), {"wrong-type", "not array"}},
      {line("open", R"("config":"a")"), {"invalid-value", "absolute path"}},
      {line("open", R"("config":"")"), {"invalid-value", "absolute path"}},
      {line("open", R"("config":"/a\u0000b")"), {"invalid-value", "NUL"}},
      {line("open", R"("config":")" + long_path + "\""), {"invalid-value", "5001 bytes"}},
      {line("open", R"("config":"/a","device":"")"), {"invalid-value", "device"}},
      {line("open", R"("config":"/a","device":"a/b")"), {"invalid-value", "a/b"}},
      {line("open", R"("config":"/a","device":"-a")"), {"invalid-value", "-a"}},
      {line("open", R"("config":"/a","device":")" + long_name + "\""), {"invalid-value", "128"}},
      {line("open", R"("config":"/a","readOnly":1)"), {"wrong-type", "true or false"}},
      {line("open", R"("config":"/a","deadlineMs":0)"), {"invalid-value", "deadlineMs"}},
      {line("open", R"("config":"/a","readonly":true)"),
       {"unknown-field", "open has no field \"readonly\"", "readOnly"}},
      {line("list", R"("device":"a")"), {"unknown-field", "list has no field \"device\""}},
      {line("close", R"("device":"a","mode":"force")"),
       {"invalid-value", "if-unused, detach, abort"}},
      {line("commit", R"("device":"a","output":"/o","algorithm":"gzip")"),
       {"invalid-value", "none, lz4, zstd"}},
      {line("commit", R"("device":"a","output":"/o","blockSizeBytes":1000)"),
       {"invalid-value", "power of two"}},
      {line("commit", R"("device":"a","output":"/o","uuid":"x")"), {"invalid-value", "uuid"}},
      {line("resize", R"("device":"a","sizeBytes":1000)"), {"invalid-value", "multiple of 512"}},
      {line("resize", R"("device":"a","sizeBytes":9223372036854775808)"), {"invalid-value"}},
      {line("resize", R"("device":"a")"), {"missing-field", "sizeBytes"}},
  };
  for (const auto& [text, expected] : cases) {
    const Refusal found = refusal(text);
    EXPECT_EQ(found.code, expected[0]) << text << ": " << found.text;
    for (std::size_t at = 1; at < expected.size(); ++at) {
      EXPECT_NE(found.text.find(expected[at]), std::string::npos) << text << ": " << found.text;
    }
    for (const char one : found.text) EXPECT_GE(static_cast<unsigned char>(one), ' ') << text;
  }
}

TEST(RequestTest, ARefusalKnowsTheIdAsSoonAsItIsThere) {
  EXPECT_EQ(refusal("{").id, std::nullopt);
  EXPECT_EQ(refusal(R"({"id":"x","version":1})").id, std::nullopt);
  EXPECT_EQ(refusal(R"({"id":9})").id, 9U);
  EXPECT_EQ(refusal(line("open", R"("config":3)")).id, 7U);
}

}  // namespace varve::test
