// An inspection for people.
#include <algorithm>

#include "tools/amounts.h"
#include "tools/failure.h"
#include "tools/inspection.h"
#include "tools/picture.h"
#include "tools/table.h"

namespace varve::tools {

namespace {

constexpr std::size_t kIndent = 2;

std::string or_none(const std::string& text) { return text.empty() ? "none" : printable(text); }

std::string flags_text(const lsmt::Header& header) {
  std::string text = header.is_header ? "header" : "trailer";
  text += header.is_data ? ", data" : ", index";
  if (header.is_sealed) text += ", sealed";
  if (header.is_sparse) text += ", sparse";
  return text;
}

std::string header_text(const std::string& title, const lsmt::Header& header) {
  Fields fields;
  fields.add("flags", flags_text(header));
  fields.add("virtual size", exact_size_text(header.virtual_size));
  fields.add("uuid", or_none(header.uuid));
  fields.add("parent uuid", or_none(header.parent_uuid));
  fields.add("user tag", or_none(header.user_tag));
  if (!header.is_header) {
    fields.add("index", std::to_string(header.index_count) + " entries at " +
                            std::to_string(header.index_offset) + ", padding included");
  }
  return title + "\n" + fields.text(kIndent);
}

std::string zfile_text(const zfile::Header& zfile, std::uint64_t stored_bytes) {
  Fields fields;
  fields.add("algorithm", zfile::name_of(static_cast<zfile::Algorithm>(zfile.algorithm)));
  fields.add("blocks", count_text(zfile.block_count, "block") + " of " +
                           size_text(zfile.block_size) +
                           (zfile.has_sums != 0 ? ", each with a checksum" : ", no checksums"));
  fields.add("content", exact_size_text(zfile.original_size));
  fields.add("stored",
             exact_size_text(stored_bytes) + ", " + share_text(stored_bytes, zfile.original_size));
  fields.add("index", "at " + std::to_string(zfile.index_offset));
  fields.add("described by", zfile.has(zfile::flags::header) ? "its header" : "its trailer alone");
  return "ZFile\n" + fields.text(kIndent);
}

std::string index_text(const Inspection& inspection) {
  std::uint64_t zeros = 0;
  std::uint64_t zeroed = 0;
  for (const lsmt::Mapping& mapping : inspection.mappings) {
    if (!mapping.is_zeroed()) continue;
    ++zeroed;
    zeros += mapping.count() * lsmt::kSectorSize;
  }
  const std::uint64_t data = data_size(inspection.mappings);
  Fields fields;
  fields.add("mappings", std::to_string(inspection.mappings.size()));
  fields.add("data", exact_size_text(data) + " in " +
                         std::to_string(inspection.mappings.size() - zeroed) + ", " +
                         share_text(data, inspection.virtual_size) + " of the device");
  fields.add("zeros", exact_size_text(zeros) + " in " + std::to_string(zeroed));
  return "Index\n" + fields.text(kIndent);
}

std::string picture_text(const Inspection& inspection, std::size_t width) {
  constexpr std::size_t kLabel = 14;
  Canvas canvas;
  canvas.columns = std::clamp<std::size_t>(width > kLabel ? width - kLabel : 0, 16, 64);
  const auto lines = draw(inspection.mappings, inspection.virtual_size, canvas);
  if (lines.empty()) return {};
  std::string text = "Device, " + legend(inspection.virtual_size, canvas) + "\n";
  for (const std::string& line : lines) text += std::string(kIndent, ' ') + line + "\n";
  return text;
}

std::string extents_text(const Inspection& inspection) {
  Table table({"offset", "length", "kind", "in the layer"});
  for (const lsmt::Mapping& mapping : inspection.mappings) {
    table.add(
        {std::to_string(mapping.first() * lsmt::kSectorSize),
         std::to_string(mapping.count() * lsmt::kSectorSize),
         mapping.is_zeroed() ? "zeros" : "data",
         mapping.is_zeroed() ? "-" : std::to_string(mapping.data_first() * lsmt::kSectorSize)});
  }
  return "Extents, in bytes\n" + table.text();
}

}  // namespace

std::string to_text(const Inspection& inspection, const View& view) {
  const image::LayerFile& file = inspection.file;
  std::string text = without_controls(file.name) + ": " + exact_size_text(file.file_bytes) + "\n";
  if (file.tar_member) {
    text += "Tar archive\n" + std::string(kIndent, ' ') + "first member, " +
            exact_size_text(file.tar_member->length) + " at " +
            std::to_string(file.tar_member->offset) + "\n";
  }
  if (file.zfile) {
    text += zfile_text(*file.zfile, file.tar_member ? file.tar_member->length : file.file_bytes);
  }
  if (!inspection.header) return text + "The content is no layer.\n";
  text += "Layer: " + kind_of(inspection) + "\n";
  text += header_text("Header", *inspection.header);
  if (inspection.trailer) text += header_text("Trailer", *inspection.trailer);
  text += index_text(inspection);
  text += picture_text(inspection, view.width);
  if (view.has_extents) text += extents_text(inspection);
  return text;
}

}  // namespace varve::tools
