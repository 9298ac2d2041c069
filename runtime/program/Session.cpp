#include "runtime/program/Session.h"

#include "runtime/program/Error.h"

#include <algorithm>

namespace fovea::program {

namespace {

int axisOf(const Argument &argument, char symbol) {
  for (size_t axis = 0; axis < argument.shape.size(); ++axis)
    if (argument.shape[axis].isSymbol(symbol))
      return int(axis);
  return -1;
}

const int32_t (*pairsOf(const std::vector<std::array<int32_t, 2>> &moves))[2] { return reinterpret_cast<const int32_t(*)[2]>(moves.data()); }

int64_t bytesFor(const Argument &argument, const Sizes &sizes) { return product(elements(argument.shape, sizes), int64_t(bytesOf(argument.type))); }

}  // namespace

void Session::Given::set(const Place &place, const int32_t *data, int64_t count) {
  reserve(product(count, 4));
  place.write(value.data, data, count * 4);
}

Session::Session(const Model &model) : model(model), sourceTokens(model.place), sourceLengths(model.place), stepTokens(model.place), mapGiven(model.place) {
  const Table &table = model.table;
  std::map<std::string, const Value *> encoded, packed, next;
  std::vector<const Value *> values;

  // States first: encode writes their first values straight into them.
  for (const Argument &argument : table.step.arguments)
    if (argument.what == What::State)
      states.push_back({&argument, hold(), hold(), false, false, axisOf(argument, 'b')});
  auto stateOf = [&](const std::string &name) -> State & {
    return *std::find_if(states.begin(), states.end(), [&](const State &state) { return state.argument->name == name; });
  };

  for (const Argument &argument : table.encode.arguments) {
    const Value *known = argument.what == What::Packed ? model.packed(argument.name) : model.parameter(argument);
    if (argument.what == What::Init) {
      State &state = stateOf(argument.name);
      state.initialised = true;
      known = &state.now->value;
    }
    if (!known) {
      if (argument.what == What::Tokens) {
        known = &sourceTokens.value;
        readsTokens = true;
      } else if (argument.what == What::Length) {
        known = &sourceLengths.value;
        readsLengths = true;
      } else {
        encodeResults.push_back({&argument, hold()});
        known = &encodeResults.back().second->value;
      }
      (argument.what == What::Packed ? packed : encoded)[argument.name] = known;
    }
    values.push_back(known);
  }
  calls.emplace_back(table.encode, "encode", table, values);

  values.clear();
  for (const Argument &argument : table.step.arguments) {
    const Value *known = nullptr;
    switch (argument.what) {
    case What::Parameter:
    case What::Quantised:
    case What::Scales:
    case What::Sums: known = model.parameter(argument); break;
    case What::Packed:
      known = model.packed(argument.name);
      if (!known)
        known = packed.at(argument.name);
      break;
    case What::Encoded: known = encoded.at(argument.name); break;
    case What::Tokens: known = &stepTokens.value; break;
    case What::Map: known = &mapGiven.value; break;
    case What::Position: known = &positionValue; break;
    case What::State: known = &stateOf(argument.name).now->value; break;
    case What::Next:
      stateOf(argument.name).changes = true;
      known = &stateOf(argument.name).next->value;
      break;
    case What::Cache:
      caches.push_back({&argument, hold(), values.size(), axisOf(argument, 'b'), axisOf(argument, 't')});
      known = &caches.back().held->value;
      break;
    default: {
      Held *held = hold();
      known = &held->value;
      if (argument.what == What::Logits) {
        scored = stepResults.size();
        vocabularySize = argument.shape[1].evaluate({});
      }
      stepResults.push_back({&argument, held, {}});
    }
    }
    values.push_back(known);
  }
  positionValue.data = &position;
  calls.emplace_back(table.step, "step", table, values);
}

Sizes Session::capacity() const { return {mostRows, sizes.s, sizes.i, model.table.writes.atMost}; }

void Session::encode(const std::vector<const std::vector<int32_t> *> &sources, int64_t most) {
  sizes = {int64_t(sources.size()), int64_t(sources.size()), 0, 1};
  for (const auto *source : sources)
    sizes.i = std::max(sizes.i, int64_t(source->size()));
  position = 0;
  mostRows = std::max(most, sizes.s);

  for (auto &[argument, held] : encodeResults)
    held->reserve(bytesFor(*argument, sizes));
  for (StepResult &result : stepResults)
    result.held->reserve(bytesFor(*result.argument, capacity()));
  for (State &state : states) {
    state.now->reserve(bytesFor(*state.argument, capacity()));
    state.next->reserve(bytesFor(*state.argument, capacity()));
    if (!state.initialised)
      model.place.clear(state.now->value.data, bytesFor(*state.argument, sizes));
  }
  for (Cache &cache : caches) {
    cache.held->reserve(bytesFor(*cache.argument, capacity()));
    calls[1].setStrides(cache.index, capacity());
  }
  map.resize(size_t(mostRows));
  stepTokens.reserve(product(mostRows, 4));  // so that a step allocates nothing
  mapGiven.reserve(product(mostRows, 4));
  for (int64_t row = 0; row < sizes.s; ++row)
    map[size_t(row)] = int32_t(row);
  mapMoved = true;

  if (readsTokens) {
    padded.assign(size_t(product(sizes.s, sizes.i)), 0);
    for (size_t row = 0; row < sources.size(); ++row)
      std::copy(sources[row]->begin(), sources[row]->end(), padded.begin() + int64_t(row) * sizes.i);
    sourceTokens.set(model.place, padded.data(), int64_t(padded.size()));
  }
  if (readsLengths) {
    lengths.clear();
    for (const auto *source : sources)
      lengths.push_back(int32_t(source->size()));
    sourceLengths.set(model.place, lengths.data(), sizes.s);
  }
  calls[0].run(sizes);
}

void Session::step(const int32_t *tokens) {
  stepTokens.set(model.place, tokens, sizes.b);
  if (std::exchange(mapMoved, false))
    mapGiven.set(model.place, map.data(), sizes.b);
  for (StepResult &result : stepResults)
    result.copied = false;
  calls[1].run(sizes);
}

const float *Session::fetch(const StepResult &result) const {
  if (model.place.isHost())
    return static_cast<const float *>(result.held->value.data);
  if (!result.copied) {
    const int64_t bytes = bytesFor(*result.argument, sizes);
    result.copy.reserve(size_t(bytes));
    model.place.read(result.held->value.data, result.copy.data(), bytes);
    result.copied = true;
  }
  return static_cast<const float *>(result.copy.data());
}

void Session::advance() {
  for (State &state : states)
    if (state.changes) {
      std::swap(state.now->storage, state.next->storage);
      std::swap(state.now->value, state.next->value);
    }
  ++position;
  ++sizes.t;
}

// Copies rows of a tensor whose batch axis is not the first into one with rows.size() rows, both compact.
void Session::gather(const State &state, void *from, void *to, const std::vector<int32_t> &rows) const {
  int64_t outer = 1, inner = int64_t(bytesOf(state.argument->type));
  for (int axis = 0; axis < int(state.argument->shape.size()); ++axis)
    if (axis != state.batch)
      (axis < state.batch ? outer : inner) *= state.argument->shape[size_t(axis)].evaluate(sizes);
  std::vector<std::array<int32_t, 2>> pairs;
  for (size_t row = 0; row < rows.size(); ++row)
    pairs.push_back({int32_t(row), rows[row]});
  model.place.moveRows({to, from, 0, 0, inner, inner, int64_t(rows.size()) * inner, sizes.b * inner, outer, inner, pairsOf(pairs), int64_t(pairs.size())});
}

// Copies rows as `moves` says inside a tensor that is laid out by `capacity` and holds what `used` covers.
void Session::moveRows(const Argument &argument, void *data, int batch, const Sizes &capacity, const Sizes &used) const {
  if (elements(argument.shape, used) == 0)
    return;
  // From the right: what lies together in a row, then what does not.
  int64_t stride = int64_t(bytesOf(argument.type)), chunk = stride, rowStride = 0;
  bool together = true;
  struct Axis { int64_t count, stride; };
  std::vector<Axis> outside;
  for (size_t axis = argument.shape.size(); axis-- > 0;) {
    int64_t extent = argument.shape[axis].evaluate(capacity), count = argument.shape[axis].evaluate(used);
    if (int(axis) == batch) {
      rowStride = stride;
      together = false;
    } else if (together) {
      chunk *= count;
      together = count == extent;
    } else if (count != 1) {
      if (!outside.empty() && outside.back().count * outside.back().stride == stride)
        outside.back().count *= count;
      else
        outside.push_back({count, stride});
    }
    stride *= extent;
  }
  const Axis first = outside.empty() ? Axis{1, 0} : outside.front();
  std::vector<int64_t> at(outside.size(), 0);
  for (int64_t offset = 0;;) {
    model.place.moveRows({data, data, offset, offset, rowStride, rowStride, first.stride, first.stride, first.count, chunk, pairsOf(moves), int64_t(moves.size())});
    size_t axis = 1;
    for (; axis < outside.size(); ++axis) {
      offset += outside[axis].stride;
      if (++at[axis] < outside[axis].count)
        break;
      offset -= outside[axis].stride * outside[axis].count;
      at[axis] = 0;
    }
    if (axis >= outside.size())
      break;
  }
}

void Session::arrange(const std::vector<int32_t> &from) {
  moves.clear();
  for (size_t row = 0; row < from.size(); ++row)
    if (from[row] != int32_t(row))
      moves.push_back({int32_t(row), from[row]});
  if (moves.empty() && int64_t(from.size()) == sizes.b)
    return advance();

  for (State &state : states) {
    bool leading = true;
    for (int axis = 0; axis < state.batch; ++axis)
      leading &= state.argument->shape[size_t(axis)].evaluate(sizes) == 1;
    if (state.batch >= 0 && !leading) {
      // Compact with another number of rows: everything moves.
      gather(state, (state.changes ? state.next : state.now)->value.data, (state.changes ? state.now : state.next)->value.data, from);
      if (state.changes)
        continue;  // the result is in place
    }
    if (state.changes || (state.batch >= 0 && !leading)) {
      std::swap(state.now->storage, state.next->storage);
      std::swap(state.now->value, state.next->value);
    }
    if (state.batch >= 0 && leading)
      moveRows(*state.argument, state.now->value.data, state.batch, sizes, sizes);
  }
  for (Cache &cache : caches)
    if (cache.batch >= 0)
      moveRows(*cache.argument, cache.held->value.data, cache.batch, capacity(), sizes);
  for (auto [to, source] : moves)
    map[size_t(to)] = map[size_t(source)];
  mapMoved = true;
  sizes.b = int64_t(from.size());
  ++position;
  ++sizes.t;
}

Session::Result Session::result(const Argument &argument) const {
  for (const StepResult &known : stepResults)
    if (known.argument == &argument) {
      Result result{fetch(known), {}};
      for (const Extent &extent : argument.shape)
        result.shape.push_back(extent.evaluate(sizes));
      return result;
    }
  throw InternalError("step has no result `" + argument.name + "`");
}

int64_t Session::bytesNeeded(const Model &model, int64_t sources, int64_t longest, int64_t rowsPerSource, Kept keep) {
  const Table &table = model.table;
  Sizes first{sources, sources, longest, 1}, later{product(sources, rowsPerSource), sources, longest, table.writes.atMost};
  int64_t bytes = product(product(sources, longest), 4);
  auto add = [&](int64_t more) {
    if (__builtin_add_overflow(bytes, more, &bytes))
      throw Error("a batch would be too large");
  };
  // The tree of hypotheses, and what is kept of every step.
  add(product(product(later.b, later.t), 32));
  for (const Argument &argument : table.step.arguments)
    if (keep(argument))
      add(product(bytesFor(argument, later), later.t));
  for (const Argument &argument : table.encode.arguments)
    if (argument.what == What::Encoded || (argument.what == What::Packed && !model.packed(argument.name)))
      add(bytesFor(argument, first));
  for (const Argument &argument : table.step.arguments)
    if (argument.what == What::State || argument.what == What::Next || argument.what == What::Cache || argument.what == What::Logits ||
        argument.what == What::Trace)
      add(bytesFor(argument, later));
  return bytes;
}

}  // namespace fovea::program
