#include "lowering/stage/SplitWeights.h"

#include <algorithm>
#include <set>

namespace fovea {

using namespace core;

namespace {

constexpr int64_t leastElements = 4096;  // a smaller weight is not worth a second copy

// The loads of weight `t` that are nothing but a factor of products which sum over some of its axes and not over others.
std::set<NodeId> productLoads(const Function &f, TensorId t, const std::vector<std::vector<NodeId>> &users) {
  std::set<NodeId> found;
  for (NodeId n = 0; n < f.nodes.size(); n++) {
    const Node &load = f.nodes[n];
    if (load.op != Op::Load || load.ref != t || users[n].empty()) continue;
    bool fits = std::all_of(load.args.begin(), load.args.end(), [&](NodeId a) { return f.nodes[a].op == Op::Position; });
    for (NodeId product : users[n]) {
      if (!fits) break;
      fits = f.nodes[product].op == Op::Mul && users[product].size() == 1 && f.nodes[users[product][0]].op == Op::Sum;
      if (!fits) break;
      const auto &summed = f.nodes[users[product][0]].indices;
      size_t count = std::count_if(load.args.begin(), load.args.end(), [&](NodeId a) { return std::find(summed.begin(), summed.end(), f.nodes[a].ref) != summed.end(); });
      fits = count > 0 && count < load.args.size();
    }
    if (fits) found.insert(n);
  }
  return found;
}

std::vector<std::vector<NodeId>> usersOf(const Function &f) {
  std::vector<std::vector<NodeId>> users(f.nodes.size());
  for (NodeId n = 0; n < f.nodes.size(); n++)
    for (NodeId a : f.nodes[n].args) users[a].push_back(n);
  return users;
}

// A copy of weight `t` becomes tensor `place`; those from there on move up.
void insertCopy(Function &f, TensorId t, TensorId place) {
  Tensor copy = f.tensors[t];
  if (copy.foreign.empty()) copy.foreign = {copy.name};
  copy.name += "@product";
  copy.copyOf = t;
  f.tensors.insert(f.tensors.begin() + place, copy);
  auto move = [&](TensorId &id) {
    if (id != none && id >= place) id++;
  };
  for (Tensor &tensor : f.tensors) move(tensor.base);
  for (Node &node : f.nodes)
    if (node.op == Op::Load) move(node.ref);
  for (auto &p : f.parameters)
    if (!p.scalar) move(p.id);
  auto original = std::find_if(f.parameters.begin(), f.parameters.end(), [&](const auto &p) { return !p.scalar && p.id == t; });
  if (original != f.parameters.end()) f.parameters.insert(original + 1, {false, place});
}

}  // namespace

void splitWeights(Model &model) {
  Function *functions[] = {&model.encode, &model.step};
  TensorId count = 0;
  while (count < model.encode.tensors.size() && count < model.step.tensors.size() && model.encode.tensors[count].role == Tensor::Parameter) count++;
  for (TensorId t = 0, before = count; t < before; t++) {
    int64_t elements = 1;
    for (IndexId axis : model.encode.tensors[t].axes) elements *= model.encode.indices[axis].fixed.value_or(1);
    std::set<NodeId> factors[2];
    bool others = false;
    for (int k : {0, 1}) {
      factors[k] = productLoads(*functions[k], t, usersOf(*functions[k]));
      for (NodeId n = 0; n < functions[k]->nodes.size(); n++) others |= functions[k]->nodes[n].op == Op::Load && functions[k]->nodes[n].ref == t && !factors[k].count(n);
    }
    if (!others || (factors[0].empty() && factors[1].empty()) || elements < leastElements) continue;
    for (int k : {0, 1}) {
      insertCopy(*functions[k], t, count);
      for (NodeId n : factors[k]) functions[k]->nodes[n].ref = count;
    }
    for (StateLink &link : model.states)
      if (link.tensor >= count) link.tensor++;
    for (TensorId &cache : model.caches)
      if (cache >= count) cache++;
    count++;
  }
}

}  // namespace fovea
