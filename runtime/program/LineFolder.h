// A folder that gets files for each line: attention maps, logits.
#ifndef FOVEA_RUNTIME_PROGRAM_LINEFOLDER_H
#define FOVEA_RUNTIME_PROGRAM_LINEFOLDER_H

#include <cstdint>
#include <string>

namespace fovea::program {

class LineFolder {
public:
  // Makes the folder. Throws Error if it cannot, or if nothing can be written there.
  explicit LineFolder(const std::string &path);

  // Writes the file `000003-NAME` of line 3, complete or not at all. Throws Error when it cannot. Safe from several threads.
  void write(uint64_t line, const std::string &name, const std::string &bytes) const;

private:
  std::string path;
};

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_LINEFOLDER_H
