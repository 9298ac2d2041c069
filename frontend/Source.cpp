#include "frontend/Source.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace fovea {

uint32_t SourceManager::add(std::string name, std::string text) {
  if (text.starts_with("\xef\xbb\xbf")) text.erase(0, 3);
  File file{std::move(name), std::move(text), {0}};
  for (uint32_t at = 0; at < file.text.size(); ++at)
    if (file.text[at] == '\n') file.lines.push_back(at + 1);
  files.push_back(std::move(file));
  return static_cast<uint32_t>(files.size() - 1);
}

std::optional<uint32_t> SourceManager::load(const std::string &path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error) || error) return std::nullopt;
  std::ifstream stream(path, std::ios::binary);
  if (!stream) return std::nullopt;
  std::string text;
  char block[1 << 16];
  // Read in blocks so that an endless file (a device) is refused, not swallowed.
  while (stream.read(block, sizeof block) || stream.gcount() > 0) {
    text.append(block, static_cast<size_t>(stream.gcount()));
    if (text.size() > largestFile) return std::nullopt;
  }
  if (stream.bad()) return std::nullopt;
  return add(path, std::move(text));
}

std::string_view SourceManager::line(uint32_t file, uint32_t number) const {
  const File &f = files[file];
  if (number == 0 || number > f.lines.size()) return {};
  uint32_t begin = f.lines[number - 1];
  size_t end = number < f.lines.size() ? f.lines[number] - 1 : f.text.size();
  if (end > begin && f.text[end - 1] == '\r') --end;
  return std::string_view(f.text).substr(begin, end - begin);
}

core::Place SourceManager::place(SourceRange range) const {
  const File &f = files[range.file];
  auto after = std::upper_bound(f.lines.begin(), f.lines.end(), range.begin);
  auto line = static_cast<uint32_t>(after - f.lines.begin());
  return {range.file, line, range.begin - f.lines[line - 1] + 1};
}

std::vector<std::string> SourceManager::names() const {
  std::vector<std::string> all;
  for (const File &file : files) all.push_back(file.name);
  return all;
}

Symbol SourceManager::intern(std::string_view name) { return &*symbols.emplace(name).first; }

}  // namespace fovea
