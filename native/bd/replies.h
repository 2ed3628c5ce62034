// Parts of what the daemon says on its control socket (docs/block-daemon.md).
#pragma once

#include <string>
#include <vector>

#include "bd/device.h"
#include "bd/json.h"
#include "transport/device_users.h"

namespace varve::bd {

Json ok_reply(Json document);
// `error` is a positive errno, or 0 where there is none.
Json error_reply(const std::string& code, const std::string& message, int error = 0);

Json users_document(const std::vector<transport::DeviceUser>& users);

Json closed_reply(const std::string& device, const Device::Closed& closed);

// What a device is as long as it is open.
Json description_of(const Device& device);

}  // namespace varve::bd
