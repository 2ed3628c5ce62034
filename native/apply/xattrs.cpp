#include "apply/xattrs.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string_view>

#include "apply/apply_error.h"
#include "io/bytes.h"

namespace varve::apply {

namespace {

constexpr std::size_t kNameMax = 255;  // behind the prefix
constexpr std::size_t kAclHeader = 4;
constexpr std::size_t kAclEntry = 8;
constexpr std::uint32_t kAclVersion = 2;
constexpr std::string_view kPrefixes[] = {"user.", "trusted.", "security."};

struct Close {
  void operator()(ext2_xattr_handle* handle) const noexcept { ext2fs_xattrs_close(&handle); }
};
using Handle = std::unique_ptr<ext2_xattr_handle, Close>;

bool is_acl(std::string_view name) {
  return name == "system.posix_acl_access" || name == "system.posix_acl_default";
}

// libext2fs turns an ACL into its form on disk and takes for granted that it is one.
bool is_sound_acl(const std::string& value) {
  const auto bytes = std::as_bytes(std::span(value));
  return bytes.size() >= kAclHeader && (bytes.size() - kAclHeader) % kAclEntry == 0 &&
         io::load<std::uint32_t>(bytes.data()) == kAclVersion;
}

// Whether ext4 has a place for it.
bool can_be_kept(const Xattr& xattr, bool takes_user) {
  if (is_acl(xattr.name)) return is_sound_acl(xattr.value);
  for (const std::string_view prefix : kPrefixes) {
    if (!xattr.name.starts_with(prefix)) continue;
    const std::size_t rest = xattr.name.size() - prefix.size();
    return rest > 0 && rest <= kNameMax && xattr.name.find('\0') == std::string::npos &&
           (takes_user || prefix != "user.");
  }
  return false;
}

int take_name(char* name, char* /*value*/, std::size_t /*length*/, void* context) {
  try {
    static_cast<std::vector<std::string>*>(context)->emplace_back(name);
    return 0;
  } catch (...) {
    return XATTR_ABORT;
  }
}

// Where a file system is from another writer there may be some already.
void remove_all(ext2_xattr_handle* handle) {
  std::vector<std::string> names;
  check_ext2(ext2fs_xattrs_iterate(handle, take_name, &names), "read extended attributes");
  for (const std::string& name : names) {
    check_ext2(ext2fs_xattr_remove(handle, name.c_str()), "remove extended attributes");
  }
}

}  // namespace

std::vector<std::string> set_xattrs(const Volume& volume, ext2_ino_t number,
                                    const std::vector<Xattr>& xattrs) {
  Inode inode = Inode::read(volume, number);
  const bool takes_user = inode.is_directory() || LINUX_S_ISREG(inode.mode());
  ext2_super_block* super = volume.fs()->super;
  if (ext2fs_has_feature_xattr(super) == 0) {
    // There are none yet. The first one sets the feature, as under the kernel.
    if (xattrs.empty()) return {};
    ext2fs_set_feature_xattr(super);
    ext2fs_mark_super_dirty(volume.fs());
  }
  ext2_xattr_handle* opened = nullptr;
  check_ext2(ext2fs_xattrs_open(volume.fs(), number, &opened), "open extended attributes");
  const Handle handle(opened);
  check_ext2(ext2fs_xattrs_read(opened), "read extended attributes");
  remove_all(opened);
  std::vector<std::string> left_out;
  std::vector<const Xattr*> kept;
  for (const Xattr& xattr : xattrs) {
    if (can_be_kept(xattr, takes_user)) {
      kept.push_back(&xattr);
    } else {
      left_out.push_back(xattr.name);
    }
  }
  // Where they lie must not depend on the order in which a tar names them.
  std::sort(kept.begin(), kept.end(),
            [](const Xattr* one, const Xattr* other) { return one->name < other->name; });
  for (const Xattr* xattr : kept) {
    const errcode_t code =
        ext2fs_xattr_set(opened, xattr->name.c_str(), xattr->value.data(), xattr->value.size());
    if (code != 0) throw_ext2_error(code, "set the extended attribute " + quoted(xattr->name));
  }
  check_ext2(ext2fs_xattrs_write(opened), "write extended attributes");
  return left_out;
}

}  // namespace varve::apply
