#include "bd/replies.h"

#include <utility>

namespace varve::bd {

namespace {

const char* name_of(transport::DeviceUser::Kind kind) {
  using Kind = transport::DeviceUser::Kind;
  switch (kind) {
    case Kind::kDescriptor: return "descriptor";
    case Kind::kFile: return "file";
    case Kind::kMount: return "mount";
    case Kind::kHolder: return "holder";
    case Kind::kSwap: return "swap";
  }
  return "";
}

}  // namespace

Json ok_reply(Json document) { return {{"ok", std::move(document)}}; }

Json users_document(const std::vector<transport::DeviceUser>& users) {
  Json list = Json::array();
  for (const transport::DeviceUser& user : users) {
    Json one = {{"kind", name_of(user.kind)}, {"process", nullptr}, {"text", user.text}};
    if (user.process != 0) one["process"] = user.process;
    list.push_back(std::move(one));
  }
  return list;
}

Json error_reply(const std::string& code, const std::string& message, int error) {
  Json document = {{"error", {{"code", code}, {"message", message}}}};
  if (error != 0) document["error"]["errno"] = error;
  return document;
}

Json closed_reply(const std::string& device, const Device::Closed& closed) {
  return ok_reply({{"device", device},
                   {"gone", closed.is_gone},
                   {"users", users_document(closed.users)}});
}

Json description_of(const Device& device) {
  return {{"sizeBytes", device.size()},
          {"readOnly", device.is_read_only()},
          {"layerCount", device.layer_count()},
          {"directIo", device.has_direct_io()}};
}

}  // namespace varve::bd
