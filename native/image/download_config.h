// The member `download`, which images and the global configuration have alike.
#pragma once

#include "image/image_config.h"
#include "image/json_object.h"

namespace varve::image {

DownloadConfig read_download(const JsonObject& root, std::vector<Note>& notes);

}  // namespace varve::image
