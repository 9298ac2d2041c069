#include "runtime/program/Logits.h"

namespace fovea::program {

std::string toNpy(const std::vector<int64_t> &shape, const std::vector<float> &values) {
  const size_t preamble = 10;  // magic, version, size of the text
  std::string text = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
  for (size_t axis = 0; axis < shape.size(); ++axis)
    text += (axis ? ", " : "") + std::to_string(shape[axis]);
  text += "), }";
  text.append(63 - (preamble + text.size()) % 64, ' ');  // the values begin at a multiple of 64
  text += '\n';
  std::string bytes = "\x93NUMPY";
  bytes += {'\1', '\0', char(text.size() & 0xff), char(text.size() >> 8)};
  bytes += text;
  bytes.append(reinterpret_cast<const char *>(values.data()), values.size() * sizeof(float));
  return bytes;
}

std::string toNpy(const StepRows &logits) {
  std::vector<float> values;
  for (const std::vector<float> &row : logits.rows)
    values.insert(values.end(), row.begin(), row.end());
  return toNpy({int64_t(logits.rows.size()), int64_t(logits.rows.empty() ? 0 : logits.rows.front().size())}, values);
}

}  // namespace fovea::program
