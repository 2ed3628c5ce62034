// The fields of a tar header as each format has them.
#pragma once

#include "apply/archive_entry.h"
#include "tar/header.h"

namespace varve::apply {

// Whether all bytes are zero: the end of an archive.
[[nodiscard]] bool is_zero_block(const tar::Block& block) noexcept;

[[nodiscard]] char type_flag(const tar::Block& block) noexcept;

// What the header itself says: name, link, mode, owner, size, time, device. Throws ApplyError.
ArchiveEntry parse_archive_header(const tar::Block& block);

// The size of a sparse file in the old GNU format.
std::uint64_t old_sparse_size(const tar::Block& block);

}  // namespace varve::apply
