// Images made of layer files: config.v1.json by native/image.
#pragma once

#include "bd/image.h"
#include "bd/log.h"

namespace varve::bd {

class LayerImages final : public ImageSource {
 public:
  // The log outlives this. It gets the notes on keys that do not do here all that they say.
  explicit LayerImages(Log& log) : log_(log) {}

  [[nodiscard]] std::unique_ptr<ImageConfiguration> load(const std::string& path) const override;
  [[nodiscard]] std::unique_ptr<ImageConfiguration> parse(const std::string& text,
                                                          const std::string& path) const override;

 private:
  Log& log_;
};

}  // namespace varve::bd
