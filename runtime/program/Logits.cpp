#include "runtime/program/Logits.h"

namespace fovea::program {

std::string toNpy(const StepRows &logits) {
  const size_t preamble = 10;  // magic, version, size of the text
  size_t columns = logits.rows.empty() ? 0 : logits.rows.front().size();
  std::string text = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + std::to_string(logits.rows.size()) + ", " + std::to_string(columns) + "), }";
  text.append(63 - (preamble + text.size()) % 64, ' ');  // the values begin at a multiple of 64
  text += '\n';
  std::string bytes = "\x93NUMPY";
  bytes += {'\1', '\0', char(text.size() & 0xff), char(text.size() >> 8)};
  bytes += text;
  for (const std::vector<float> &row : logits.rows)
    bytes.append(reinterpret_cast<const char *>(row.data()), row.size() * sizeof(float));
  return bytes;
}

}  // namespace fovea::program
