// What layers mean, in the plainest way: a map of names. For holding an implementation against.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "test/apply/tar_builder.h"
#include "test/apply/volume_files.h"

namespace varve::test {

class TreeModel {
 public:
  TreeModel();

  void begin_layer();
  // Whether the member can be applied; whiteouts among them.
  [[nodiscard]] bool takes(const Member& member) const;
  void apply(const Member& member);

  [[nodiscard]] Listing listing() const;
  // The names of what is neither a directory nor a mark.
  [[nodiscard]] std::vector<std::string> linkable() const;

 private:
  struct Name {
    std::shared_ptr<Member> file;
    bool is_of_this_layer = false;
  };
  void make_parents(const std::string& path);
  void remove(const std::string& path);
  void remove_below(const std::string& path, bool is_itself);
  [[nodiscard]] bool is_directory(const std::string& path) const;

  std::map<std::string, Name> names_;  // absolute paths; "" is the root
};

}  // namespace varve::test
