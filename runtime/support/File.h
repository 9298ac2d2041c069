// Files that are read whole, and files that are complete or absent (rule C3).
#ifndef FOVEA_RUNTIME_SUPPORT_FILE_H
#define FOVEA_RUNTIME_SUPPORT_FILE_H

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fovea {

// The bytes of a file; nothing, with `error` set to `PATH: ...`, when it cannot be read.
std::optional<std::string> readFile(const std::string &path, std::string &error);

// Writes `parts`, one after the other, beside `path`, then renames. What is not a regular file (a terminal, /dev/null, a pipe)
// is written in place. On failure `path` is as it was, nothing is left beside it, and `error` is `PATH: ...`.
bool writeFileAtomically(const std::string &path, const std::vector<std::string_view> &parts, std::string &error);
inline bool writeFileAtomically(const std::string &path, std::string_view bytes, std::string &error) {
  return writeFileAtomically(path, std::vector<std::string_view>{bytes}, error);
}

// The same for a file that another program has written: takes `from`'s place at `path`.
bool renameInto(const std::string &from, const std::string &path, std::string &error);

// A closed standard descriptor would go to the next file that is opened, which then takes input or messages. This puts /dev/null in its
// place, opened so that using it fails as using a closed one does.
void holdStandardDescriptors();

// From now on SIGINT, SIGTERM and SIGHUP remove the temporary files and folders below before they end the process. To be called
// first in main, before there are threads.
void removeTemporariesOnSignals();

// A new, empty file or folder, removed (with all that it holds) when this goes out of scope.
class TemporaryFile {
public:
  explicit TemporaryFile(const std::string &beside);   // in the folder of `beside`, so that it can be renamed to it
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile &) = delete;
  TemporaryFile &operator=(const TemporaryFile &) = delete;
  const std::string &path() const { return name; }     // empty: it could not be made, and errno says why
  void keep();                                         // it has been renamed: nothing is to be removed

private:
  std::string name;
};

class TemporaryFolder {
public:
  TemporaryFolder();   // in $TMPDIR, else /tmp
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder &) = delete;
  TemporaryFolder &operator=(const TemporaryFolder &) = delete;
  const std::string &path() const { return name; }     // empty: it could not be made, and errno says why

private:
  std::string name;
};

}  // namespace fovea

#endif  // FOVEA_RUNTIME_SUPPORT_FILE_H
