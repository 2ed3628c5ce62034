#include "tools/device.h"

#include <utility>
#include <vector>

#include "tools/damage_printer.h"
#include "tools/failure.h"
#include "tools/source_files.h"

namespace varve::tools {

namespace {

DamagePrinter damage_printer;

std::shared_ptr<image::Image> open_image(const std::string& path) {
  image::OpenOptions options;
  options.folder = folder_of(path);
  options.damage_listener = &damage_printer;
  options.is_read_only = true;
  return image::Image::open(load_config(path), options);
}

}  // namespace

Device Device::open(const std::string& path, const std::string& index) {
  Device device;
  if (is_config(path)) {
    if (!index.empty()) throw Misuse(path + ": a configuration names the index file itself");
    device.image_ = open_image(path);
    device.take(device.image_->lowers(), device.image_->writable());
    return device;
  }
  image::LayerFile file =
      image::unwrap_layer(open_existing(path, Access::kRead), {.damage_listener = &damage_printer});
  const Shape shape = shape_of(*file.content, !index.empty());
  if (shape == Shape::kWritable) {
    device.own_lock_ = image::lock_upper(path, index, true);
    auto layer = open_writable_layer(path, index, Access::kRead, lsmt::LostData::kRefuse);
    device.own_writable_ = std::make_unique<lsmt::WritableStack>(std::move(layer), nullptr, path);
    device.take(nullptr, device.own_writable_.get());
    return device;
  }
  if (!index.empty()) throw Misuse(path + ": has no index file, because it is no writable layer");
  if (shape == Shape::kOther) {
    throw Failure(path + ": is neither a configuration, which begins with {, nor a layer" +
                  (file.zfile ? ": what is compressed in it is something else" : ""));
  }
  std::vector<lsmt::ReadOnlyLayer> layers;
  layers.push_back(lsmt::open_read_only_layer(std::move(file.content)));
  device.stack_ = std::make_shared<const lsmt::ReadOnlyStack>(std::move(layers), path);
  device.take(device.stack_.get(), nullptr);
  return device;
}

void Device::take(const lsmt::ReadOnlyStack* lower, const lsmt::WritableStack* writable) {
  lower_ = lower;
  writable_ = writable;
  if (lower != nullptr) {
    content_.disk = lower;
    content_.lower = &lower->index();
  }
  if (writable != nullptr) {
    content_.disk = writable;
    content_.upper = &writable->upper();
  }
}

void Device::find(lsmt::SectorRange range, lsmt::Found& found) const {
  if (writable_ != nullptr) {
    writable_->find(range, found);
  } else {
    lower_->index().find(range, found);
  }
}

void Device::merge(const lsmt::LayerOptions& options, const lsmt::Output& output) const {
  if (writable_ != nullptr) {
    writable_->merge(options, output);
  } else {
    lsmt::merge_stack(*lower_, options, output);
  }
}

std::uint64_t Device::data_bytes() const {
  std::uint64_t bytes = 0;
  const std::uint64_t end = size();
  for (std::uint64_t offset = 0; offset < end;) {
    const Run run = next_run(content_, offset, end);
    if (!run.is_zeros) bytes += run.length;
    offset += run.length;
  }
  return bytes;
}

}  // namespace varve::tools
