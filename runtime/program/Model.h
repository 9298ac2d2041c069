// A model ready to run: its table, vocabularies, weights, and what its load stage made of them. Never changes afterwards.
#ifndef FOVEA_RUNTIME_PROGRAM_MODEL_H
#define FOVEA_RUNTIME_PROGRAM_MODEL_H

#include "runtime/program/Place.h"
#include "runtime/program/StageCall.h"
#include "runtime/program/Vocabulary.h"
#include "runtime/program/Weights.h"

#include <map>
#include <memory>
#include <string>

namespace fovea::program {

class Model {
public:
  // `weights` is a file given by the user; empty: the file the table names, embedded or in `folder`.
  // Throws Error for files that do not fit the model, InternalError for a broken table.
  Model(Table table, const std::string &weights, const std::string &folder);

  const Table table;
  const Place place;
  const Vocabulary source, target;

  // A parameter as it is, or one of its quantised parts. Null for any other argument.
  const Value *parameter(const Argument &argument) const;
  // What the load stage packed under this name; null if it did not.
  const Value *packed(const std::string &name) const;

private:
  std::unique_ptr<Weights> weights;
  std::map<std::pair<What, std::string>, Value> parameters;
  std::map<std::string, Value> packedValues;
  std::map<std::string, Storage> packedStorage;
  std::vector<Storage> copies;     // of parameters, on a device

  const File &embedded(const std::string &name) const;
  Vocabulary vocabulary(const TextFormat &format, bool reads) const;
  void find(const Parameter &parameter);
  void *copied(const Parameter &parameter);
  void load();
};

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_MODEL_H
