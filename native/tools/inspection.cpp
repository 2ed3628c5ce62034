#include "tools/inspection.h"

#include <algorithm>

#include "lsmt/read_only_layer.h"
#include "tools/failure.h"

namespace varve::tools {

namespace {

using Json = nlohmann::ordered_json;

void take_finished(Inspection& inspection) {
  const lsmt::ReadOnlyLayer layer = lsmt::open_read_only_layer(inspection.file.content);
  inspection.header = layer.header;
  inspection.trailer = layer.trailer;
  inspection.virtual_size = layer.trailer.virtual_size;
  inspection.index_entries = layer.trailer.index_count;
  inspection.mappings.assign(layer.mappings.begin(), layer.mappings.end());
}

void take_writable(Inspection& inspection, const std::string& path, const std::string& index) {
  // Whatever can be shown is shown: what lost its data is a matter for verify.
  const auto layer = open_writable_layer(path, index, Access::kRead, lsmt::LostData::kDrop);
  inspection.header = layer->header();
  inspection.virtual_size = layer->virtual_size();
  inspection.mappings = mappings_of(*layer);
}

Json to_json(const lsmt::Header& header) {
  const auto uuid = [](const lsmt::Uuid& text) { return text.empty() ? Json() : Json(text); };
  return {{"isHeader", header.is_header},           {"isData", header.is_data},
          {"isSealed", header.is_sealed},           {"isSparse", header.is_sparse},
          {"indexOffset", header.index_offset},     {"indexEntries", header.index_count},
          {"virtualSize", header.virtual_size},     {"uuid", uuid(header.uuid)},
          {"parentUuid", uuid(header.parent_uuid)}, {"userTag", header.user_tag}};
}

Json to_json(const zfile::Header& zfile, std::uint64_t file_bytes) {
  return {{"algorithm", zfile::name_of(static_cast<zfile::Algorithm>(zfile.algorithm))},
          {"blockSize", zfile.block_size},
          {"hasChecksums", zfile.has_sums != 0},
          {"describedBy", zfile.has(zfile::flags::header) ? "header" : "trailer"},
          {"blocks", zfile.block_count},
          {"indexOffset", zfile.index_offset},
          {"contentSize", zfile.original_size},
          {"storedSize", file_bytes}};
}

std::uint64_t stored_size(const image::LayerFile& file) {
  return file.tar_member ? file.tar_member->length : file.file_bytes;
}

}  // namespace

Inspection inspect(const std::string& path, const std::string& index) {
  Inspection inspection;
  inspection.file = image::unwrap_layer(open_existing(path, Access::kRead));
  inspection.shape = shape_of(*inspection.file.content, !index.empty());
  if (!index.empty() && inspection.shape != Shape::kWritable) {
    throw Misuse(path + ": has no index file, because it is no writable layer");
  }
  switch (inspection.shape) {
    case Shape::kFinished:
      take_finished(inspection);
      break;
    case Shape::kWritable:
      take_writable(inspection, path, index);
      break;
    case Shape::kIndexOfWritable:
      throw Failure(path + ": is the index of a writable layer; name the data file, and this one " +
                    "with --index");
    case Shape::kOther:
      if (!inspection.file.zfile) {
        throw Failure(path + ": is no layer: it begins neither like a tar archive, nor like a " +
                      "compressed file (ZFile), nor like a layer (LSMT)");
      }
      break;
  }
  return inspection;
}

std::string kind_of(const Inspection& inspection) {
  switch (inspection.shape) {
    case Shape::kFinished:
      return inspection.header->is_sealed ? "finished" : "finished (sealed in place)";
    case Shape::kWritable:
      return inspection.header->is_sparse ? "writable, sparse" : "writable, append-only";
    case Shape::kIndexOfWritable:
    case Shape::kOther:
      break;
  }
  return "none";
}

Json to_json(const Inspection& inspection, bool has_extents) {
  const image::LayerFile& file = inspection.file;
  Json json = {{"path", file.name}, {"fileSize", file.file_bytes}};
  if (file.tar_member) {
    json["tar"] = {{"offset", file.tar_member->offset}, {"size", file.tar_member->length}};
  }
  if (file.zfile) json["zfile"] = to_json(*file.zfile, stored_size(file));
  if (!inspection.header) return json;

  json["kind"] = kind_of(inspection);
  json["virtualSize"] = inspection.virtual_size;
  json["header"] = to_json(*inspection.header);
  if (inspection.trailer) json["trailer"] = to_json(*inspection.trailer);
  std::uint64_t zeros = 0;
  for (const lsmt::Mapping& mapping : inspection.mappings) {
    if (mapping.is_zeroed()) zeros += mapping.count() * lsmt::kSectorSize;
  }
  json["index"] = {{"mappings", inspection.mappings.size()},
                   {"dataBytes", data_size(inspection.mappings)},
                   {"zeroBytes", zeros}};
  if (!has_extents) return json;
  Json& extents = json["extents"] = Json::array();
  for (const lsmt::Mapping& mapping : inspection.mappings) {
    Json extent = {{"offset", mapping.first() * lsmt::kSectorSize},
                   {"length", mapping.count() * lsmt::kSectorSize},
                   {"kind", mapping.is_zeroed() ? "zeros" : "data"}};
    if (!mapping.is_zeroed()) extent["layerOffset"] = mapping.data_first() * lsmt::kSectorSize;
    extents.push_back(std::move(extent));
  }
  return json;
}

}  // namespace varve::tools
