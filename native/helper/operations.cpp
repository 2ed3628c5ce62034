// From a request line to a reply line: the one place that knows the protocol. A request may be a
// batch of others, which are carried out in order, each with a reply of its own.
#include "helper/operations.h"

#include <cerrno>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "helper/failure.h"

namespace varve {

namespace {

using nlohmann::json;

[[noreturn]] void refuse(const std::string& explanation) {
  throw Failure(EINVAL, "request", "", explanation);
}

std::string checked_text(const json& value, const char* field) {
  if (!value.is_string()) refuse(std::string(field) + " must be a string");
  std::string text = value.get<std::string>();
  if (text.find('\0') != std::string::npos) refuse(std::string(field) + " holds a NUL");
  return text;
}

std::string text_field(const json& request, const char* field) {
  const auto found = request.find(field);
  if (found == request.end()) refuse(std::string(field) + " is missing");
  return checked_text(*found, field);
}

std::string path_field(const json& request, const char* field) {
  std::string path = text_field(request, field);
  if (path.empty() || path[0] != '/') refuse(std::string(field) + " must be an absolute path");
  return path;
}

std::vector<std::string> list_field(const json& request, const char* field) {
  std::vector<std::string> texts;
  const auto found = request.find(field);
  if (found == request.end()) return texts;
  if (!found->is_array()) refuse(std::string(field) + " must be a list of strings");
  for (const json& item : *found) texts.push_back(checked_text(item, field));
  return texts;
}

std::string any_text_field(const json& request, const char* field) {
  std::string text = text_field(request, field);
  if (text.empty()) refuse(std::string(field) + " is empty");
  return text;
}

uint32_t number_field(const json& request, const char* field) {
  const auto found = request.find(field);
  if (found == request.end() || !found->is_number_unsigned()) {
    refuse(std::string(field) + " must be a number");
  }
  return found->get<uint32_t>();
}

json entries_of(const std::string& path) {
  json entries = json::array();
  for (const DirectoryEntry& entry : list_directory(path)) {
    json described = {{"name", printable(entry.name)}, {"target", nullptr}};
    if (entry.is_link) described["target"] = printable(entry.target);
    entries.push_back(std::move(described));
  }
  return {{"entries", std::move(entries)}};
}

json texts_of(const std::vector<std::string>& texts) {
  json printed = json::array();
  for (const std::string& text : texts) printed.push_back(printable(text));
  return {{"users", std::move(printed)}};
}

// What is done to the kernel's files; nullopt for any other operation.
std::optional<json> carry_out_on_attributes(const std::string& operation, const json& request) {
  const auto path = [&] { return path_field(request, "path"); };
  if (operation == "make-directory") return json{{"made", make_directory(path())}};
  if (operation == "remove-directory") return json{{"removed", remove_directory(path())}};
  if (operation == "make-link") {
    return json{{"made", make_link(path(), path_field(request, "target"))}};
  }
  if (operation == "remove-link") return json{{"removed", remove_link(path())}};
  if (operation == "write-attribute") {
    write_attribute(path(), any_text_field(request, "text"));
    return json::object();
  }
  if (operation == "read-attribute") return json{{"text", printable(read_attribute(path()))}};
  if (operation == "list-directory") return entries_of(path());
  if (operation == "device-number") {
    const DeviceNumber number = device_number(path());
    return json{{"major", number.major}, {"minor", number.minor}};
  }
  if (operation == "device-users") {
    return texts_of(device_users(
        {.major = number_field(request, "major"), .minor = number_field(request, "minor")}));
  }
  if (operation == "file-users") return texts_of(file_users(path()));
  return std::nullopt;
}

json sleep_for(const json& request) {
  const auto found = request.find("milliseconds");
  if (found == request.end() || !found->is_number_unsigned()) refuse("milliseconds is missing");
  std::this_thread::sleep_for(std::chrono::milliseconds(found->get<uint32_t>()));
  return json::object();
}

struct Operations {
  bool allow_test_operations;
  const Tick& tick;
};

json carry_out(const json& request, const Operations& operations) {
  const Tick& tick = operations.tick;
  const std::string operation = text_field(request, "operation");
  if (operation == "disk-usage") {
    const DiskUsage usage = disk_usage(path_field(request, "path"), tick);
    return {{"sizeBytes", usage.size_bytes}, {"inodeCount", usage.inode_count}};
  }
  if (operation == "remove-tree") {
    return {{"removedCount",
             remove_tree(path_field(request, "path"), path_field(request, "parent"), tick)}};
  }
  if (operation == "sync-tree") {
    return {{"syncedCount", sync_tree(path_field(request, "path"), tick)}};
  }
  if (operation == "syncfs") {
    sync_file_system(path_field(request, "path"));
    return json::object();
  }
  if (operation == "mount") {
    mount({.type = text_field(request, "type"),
           .source = text_field(request, "source"),
           .target = path_field(request, "target"),
           .options = list_field(request, "options")});
    return json::object();
  }
  if (operation == "unmount") {
    return {{"unmounted", unmount(path_field(request, "target"), list_field(request, "flags"))}};
  }
  if (auto value = carry_out_on_attributes(operation, request)) return *std::move(value);
  if (operation == "sleep" && operations.allow_test_operations) return sleep_for(request);
  refuse("unknown operation " + operation);
}

json failed(const Failure& failure) {
  json reply = {{"ok", false},
                {"errno", failure.error},
                {"code", error_name(failure.error)},
                {"step", failure.step},
                {"message", printable(failure.message)}};
  if (!failure.path.empty()) reply["path"] = printable(failure.path);
  return reply;
}

// What `work` returns as a success, or what it throws as a failure.
template <typename Work>
json replied(const Work& work) {
  try {
    return {{"ok", true}, {"value", work()}};
  } catch (const Failure& failure) {
    return failed(failure);
  } catch (const std::bad_alloc&) {
    return failed(Failure(ENOMEM, "memory", ""));
  } catch (const std::exception& problem) {
    return failed(Failure(EIO, "internal", "", problem.what()));
  }
}

const json& checked_object(const json& request) {
  if (!request.is_object()) refuse("the request is not a JSON object");
  return request;
}

json carry_out_all(const json& batch, const Operations& operations) {
  const auto found = batch.find("requests");
  if (found == batch.end() || !found->is_array()) refuse("requests must be a list");
  json replies = json::array();
  for (const json& request : *found) {
    replies.push_back(replied([&] { return carry_out(checked_object(request), operations); }));
  }
  return {{"replies", std::move(replies)}};
}

json id_of(const json& request) {
  const auto found = request.is_object() ? request.find("id") : request.end();
  return found != request.end() && found->is_number_unsigned() ? *found : json(nullptr);
}

json checked_value(const json& request, const Operations& operations) {
  checked_object(request);
  if (request.contains("id") && !request["id"].is_number_unsigned()) refuse("id must be a number");
  const bool is_batch = text_field(request, "operation") == "batch";
  return is_batch ? carry_out_all(request, operations) : carry_out(request, operations);
}

}  // namespace

std::string answer(const std::string& line, bool allow_test_operations, const Tick& tick) {
  const json request = json::parse(line, nullptr, false);
  json reply = replied([&] { return checked_value(request, {allow_test_operations, tick}); });
  reply["id"] = id_of(request);
  return reply.dump();
}

}  // namespace varve
