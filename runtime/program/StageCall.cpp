#include "runtime/program/StageCall.h"

#include "runtime/program/Error.h"
#include "runtime/program/Place.h"
#include "runtime/program/Profile.h"

#include <algorithm>

namespace fovea::program {

namespace {

// Writes compact row-major strides for the sizes at `words[3]`.
void compactStrides(std::vector<int64_t> &words, size_t rank, const int64_t *extents) {
  int64_t stride = 1;
  for (size_t axis = rank; axis-- > 0;) {
    words[3 + rank + axis] = stride;
    stride = product(stride, std::max<int64_t>(extents[axis], 1));
  }
}

}  // namespace

StageCall::StageCall(const Stage &stage, const char *name, const Table &table, std::vector<const Value *> values)
    : stage(stage), name(name), table(table) {
  for (size_t index = 0; index < stage.arguments.size(); ++index) {
    const Argument &argument = stage.arguments[index];
    Tensor tensor{&argument, values[index], std::vector<int64_t>(3 + 2 * argument.shape.size()), false, false};
    tensor.fixed = std::all_of(argument.shape.begin(), argument.shape.end(), [](const Extent &extent) { return extent.isConstant(); });
    if (tensor.fixed) {
      size_t rank = argument.shape.size();
      for (size_t axis = 0; axis < rank; ++axis)
        tensor.words[3 + axis] = argument.shape[axis].evaluate({});
      compactStrides(tensor.words, rank, tensor.words.data() + 3);
    }
    tensors.push_back(std::move(tensor));
  }
  for (Tensor &tensor : tensors)
    arguments.push_back(tensor.argument->what == What::Position ? tensor.value->data : tensor.words.data());
}

void StageCall::setStrides(size_t index, const Sizes &capacity) {
  Tensor &tensor = tensors[index];
  size_t rank = tensor.argument->shape.size();
  std::vector<int64_t> extents;
  for (const Extent &extent : tensor.argument->shape)
    extents.push_back(extent.evaluate(capacity));
  compactStrides(tensor.words, rank, extents.data());
  tensor.strided = true;
}

void StageCall::run(const Sizes &sizes) {
  for (size_t index = 0; index < tensors.size(); ++index) {
    Tensor &tensor = tensors[index];
    if (tensor.argument->what == What::Position) {
      arguments[index] = tensor.value->data;
      continue;
    }
    tensor.words[0] = tensor.words[1] = int64_t(reinterpret_cast<intptr_t>(tensor.value->data));
    if (tensor.fixed)
      continue;
    size_t rank = tensor.argument->shape.size();
    for (size_t axis = 0; axis < rank; ++axis)
      tensor.words[3 + axis] = tensor.argument->shape[axis].evaluate(sizes);
    if (!tensor.strided)
      compactStrides(tensor.words, rank, tensor.words.data() + 3);
  }
  Profile::Clock clock(table.profile, name);
  if (int32_t status = stage.function(arguments.data()); status != 0) {
    const char *sentence = table.lastError ? table.lastError() : nullptr;
    const std::string prefix = std::string(name) + ": ";
    const std::string text = sentence && *sentence ? sentence : "status " + std::to_string(status);
    throw Error(text.rfind(prefix, 0) == 0 ? text : prefix + text);
  }
  if (table.profile && table.device)  // what was begun belongs to this stage
    for (const Tensor &tensor : tensors)
      if (tensor.argument->what != What::Position) {
        Place(table.device, table.lastError).wait(tensor.value->data);
        break;
      }
}

}  // namespace fovea::program
