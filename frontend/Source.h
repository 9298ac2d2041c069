// The text of a program: its files, their lines, and the names that occur in them.
#ifndef FOVEA_FRONTEND_SOURCE_H
#define FOVEA_FRONTEND_SOURCE_H

#include "frontend/Core.h"

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace fovea {

// Bytes begin .. end-1 of a file.
struct SourceRange {
  uint32_t file = 0, begin = 0, end = 0;
};

// An identifier; equal names are equal pointers within one SourceManager.
using Symbol = const std::string *;

class SourceManager {
public:
  // Adds a text under a name. A leading byte order mark is dropped (rule T1).
  uint32_t add(std::string name, std::string text);
  // Reads a file; nullopt when it cannot be read, is no regular file, or is larger than `largestFile`.
  std::optional<uint32_t> load(const std::string &path);

  const std::string &name(uint32_t file) const { return files[file].name; }
  std::string_view text(uint32_t file) const { return files[file].text; }
  std::string_view text(SourceRange range) const { return text(range.file).substr(range.begin, range.end - range.begin); }
  std::string_view line(uint32_t file, uint32_t number) const;  // without its line end; numbers count from 1
  core::Place place(SourceRange range) const;
  size_t size() const { return files.size(); }
  std::vector<std::string> names() const;
  Symbol intern(std::string_view name);

  static constexpr size_t largestFile = 4u << 20;

private:
  struct File {
    std::string name, text;
    std::vector<uint32_t> lines;  // offset of each line's first byte
  };
  std::deque<File> files;  // a deque: texts keep their address
  std::unordered_set<std::string> symbols;
};

}  // namespace fovea

#endif  // FOVEA_FRONTEND_SOURCE_H
