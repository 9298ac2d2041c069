#include "runtime/program/Model.h"

#include "runtime/program/Error.h"

namespace fovea::program {

const File &Model::embedded(const std::string &name) const {
  const File *file = table.file(name);
  if (!file)
    throw InternalError("the model's table: file `" + name + "` is not in the program");
  return *file;
}

Vocabulary Model::vocabulary(const TextFormat &format, bool reads) const {
  const File *pieces = format.pieces.empty() ? nullptr : &embedded(format.pieces);
  return {format.vocabulary.empty() && pieces ? *pieces : embedded(format.vocabulary), format, reads, pieces};
}

Model::Model(Table given, const std::string &path, const std::string &folder)
    : table(std::move(given)), place(table.device, table.lastError), source(vocabulary(table.reads, true)), target(vocabulary(table.writes, false)) {
  for (const Argument &argument : table.step.arguments)
    if (int64_t scored = argument.what == What::Logits ? argument.shape[1].evaluate({}) : target.size(); scored != target.size())
      throw Error("vocabulary `" + table.writes.vocabulary + "` has " + std::to_string(target.size()) + " tokens, and the model scores " + std::to_string(scored));
  const File *inside = table.file(table.weights);
  if (!path.empty())
    weights = std::make_unique<Weights>(path);
  else if (inside)
    weights = std::make_unique<Weights>(*inside);
  else if (!table.weights.empty())
    weights = std::make_unique<Weights>(folder + "/" + table.weights);
  else if (!table.parameters.empty())
    throw Error("the program has no weights inside; give a file with --weights");
  for (const Parameter &parameter : table.parameters)
    find(parameter);
  if (!place.isHost())
    weights.reset();
  else if (weights)
    weights->settle();
  load();
}

void Model::find(const Parameter &parameter) {
  auto set = [&](What what, const void *data) { parameters[{what, parameter.name}].data = const_cast<void *>(data); };
  if (parameter.plain && place.isHost())
    set(What::Parameter, weights->find(parameter));
  else if (parameter.plain)
    set(What::Parameter, copied(parameter));
  if (!parameter.quantised)
    return;
  Weights::Quantised quantised = weights->findQuantised(parameter);
  set(What::Quantised, quantised.codes);
  set(What::Scales, quantised.scales);
  set(What::Sums, quantised.sums);
}

// The device's copy of a parameter.
void *Model::copied(const Parameter &parameter) {
  int64_t bytes = int64_t(bytesOf(parameter.type));
  for (int64_t extent : parameter.shape)
    bytes = product(bytes, extent);
  Storage &storage = copies.emplace_back(place);
  storage.reserve(bytes);
  place.write(storage.data(), weights->find(parameter), bytes);
  return storage.data();
}

void Model::load() {
  if (!table.load)
    return;
  std::vector<const Value *> values;
  for (const Argument &argument : table.load->arguments) {
    if (const Value *known = parameter(argument)) {
      values.push_back(known);
      continue;
    }
    Storage &storage = packedStorage.try_emplace(argument.name, place).first->second;
    storage.reserve(product(elements(argument.shape, {}), int64_t(bytesOf(argument.type))));
    Value &value = packedValues[argument.name];
    value.data = storage.data();
    values.push_back(&value);
  }
  StageCall(*table.load, "load", table, values).run({});
}

const Value *Model::parameter(const Argument &argument) const {
  auto found = parameters.find({argument.what, argument.name});
  return found == parameters.end() ? nullptr : &found->second;
}

const Value *Model::packed(const std::string &name) const {
  auto found = packedValues.find(name);
  return found == packedValues.end() ? nullptr : &found->second;
}

}  // namespace fovea::program
