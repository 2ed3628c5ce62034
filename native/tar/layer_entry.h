// A layer that travels as the first member of a tar archive, as registries carry it.
#pragma once

#include <memory>
#include <optional>

#include "io/file.h"

namespace varve::tar {

// Where the content of the first member lies, after whatever pax headers and long names come before
// it; empty if the file is no ustar or pax archive. Throws FormatError for an archive that is
// damaged, cut off or begins with something else than a file.
[[nodiscard]] std::optional<io::ByteRange> find_layer(const io::File& file);

// The first member's content if `file` is an archive, else `file` itself.
[[nodiscard]] std::unique_ptr<const io::File> unwrap(std::unique_ptr<const io::File> file);

}  // namespace varve::tar
