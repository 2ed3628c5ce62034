// The way to mount many lower directories on kernels that do not take them one by one.
#pragma once

#include "helper/mount_options.h"
#include "helper/operations.h"

namespace varve {

// Mounts an overlay whose lower directories are named relative to the directory that they share:
// several hundred then fit into the one page of options. Returns 0 or a negative errno; E2BIG if they
// share none or still do not fit. Changes the working directory for the call, which a program that
// serves one request at a time may do.
int mount_with_relative_lowers(const MountRequest& request, const MountOptions& options);

}  // namespace varve
