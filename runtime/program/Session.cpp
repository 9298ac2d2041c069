#include "runtime/program/Session.h"

#include "runtime/program/Error.h"

#include <algorithm>
#include <cstring>

namespace fovea::program {

namespace {

int axisOf(const Argument &argument, char symbol) {
  for (size_t axis = 0; axis < argument.shape.size(); ++axis)
    if (argument.shape[axis].isSymbol(symbol))
      return int(axis);
  return -1;
}

int64_t bytesFor(const Argument &argument, const Sizes &sizes) { return product(elements(argument.shape, sizes), int64_t(bytesOf(argument.type))); }

}  // namespace

Session::Session(const Model &model) : model(model) {
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
      Held *held = hold();
      known = &held->value;
      if (argument.what == What::Tokens)
        sourceTokens = held;
      else if (argument.what == What::Length)
        sourceLengths = held;
      else
        encodeResults.push_back({&argument, held});
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
    case What::Tokens: known = &stepTokens; break;
    case What::Map: known = &mapValue; break;
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
      stepResults.push_back({&argument, held});
      known = &held->value;
      if (argument.what == What::Logits) {
        logitsValue = known;
        vocabularySize = argument.shape[1].evaluate({});
      }
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
  for (auto &[argument, held] : stepResults)
    held->reserve(bytesFor(*argument, capacity()));
  for (State &state : states) {
    state.now->reserve(bytesFor(*state.argument, capacity()));
    state.next->reserve(bytesFor(*state.argument, capacity()));
    if (!state.initialised)
      std::memset(state.now->value.data, 0, size_t(bytesFor(*state.argument, sizes)));
  }
  for (Cache &cache : caches) {
    cache.held->reserve(bytesFor(*cache.argument, capacity()));
    calls[1].setStrides(cache.index, capacity());
  }
  map.resize(size_t(mostRows));
  mapValue.data = map.data();
  for (int64_t row = 0; row < sizes.s; ++row)
    map[size_t(row)] = int32_t(row);

  if (sourceTokens) {
    sourceTokens->reserve(product(product(sizes.s, sizes.i), 4));
    auto *tokens = static_cast<int32_t *>(sourceTokens->value.data);
    for (size_t row = 0; row < sources.size(); ++row) {
      int32_t *to = tokens + int64_t(row) * sizes.i;
      std::fill(std::copy(sources[row]->begin(), sources[row]->end(), to), to + sizes.i, 0);
    }
  }
  if (sourceLengths) {
    sourceLengths->reserve(product(sizes.s, 4));
    for (size_t row = 0; row < sources.size(); ++row)
      static_cast<int32_t *>(sourceLengths->value.data)[row] = int32_t(sources[row]->size());
  }
  calls[0].run(sizes);
}

void Session::step(const int32_t *tokens) {
  stepTokens.data = const_cast<int32_t *>(tokens);
  calls[1].run(sizes);
}

void Session::advance() {
  for (State &state : states)
    if (state.changes) {
      std::swap(state.now->buffer, state.next->buffer);
      std::swap(state.now->value, state.next->value);
    }
  ++position;
  ++sizes.t;
}

// Copies rows of a tensor whose batch axis is not the first into one with rows.size() rows, both compact.
void Session::gather(const State &state, const void *from, void *to, const std::vector<int32_t> &rows) const {
  int64_t outer = 1, inner = int64_t(bytesOf(state.argument->type));
  for (int axis = 0; axis < int(state.argument->shape.size()); ++axis)
    if (axis != state.batch)
      (axis < state.batch ? outer : inner) *= state.argument->shape[size_t(axis)].evaluate(sizes);
  auto *target = static_cast<char *>(to);
  const auto *source = static_cast<const char *>(from);
  for (int64_t block = 0; block < outer; ++block)
    for (size_t row = 0; row < rows.size(); ++row, target += inner)
      std::memcpy(target, source + (block * sizes.b + rows[row]) * inner, size_t(inner));
}

// Copies rows as `moves` says inside a tensor that is laid out by `capacity` and holds what `used` covers.
void Session::moveRows(const Argument &argument, void *data, int batch, const Sizes &capacity, const Sizes &used) const {
  if (elements(argument.shape, used) == 0)
    return;
  int rank = int(argument.shape.size());
  // From the right: what lies together in a row, then what does not.
  int64_t stride = int64_t(bytesOf(argument.type)), chunk = stride, rowStride = 0;
  bool together = true;
  struct Axis { int64_t count, stride; } outside[16];
  int outsides = 0;
  for (int axis = rank - 1; axis >= 0; --axis) {
    int64_t extent = argument.shape[size_t(axis)].evaluate(capacity), count = argument.shape[size_t(axis)].evaluate(used);
    if (axis == batch) {
      rowStride = stride;
      together = false;
    } else if (together) {
      chunk *= count;
      together = count == extent;
    } else if (count != 1) {
      if (outsides == 16)
        throw InternalError("a cache has too many axes");
      outside[outsides++] = {count, stride};
    }
    stride *= extent;
  }
  auto *bytes = static_cast<char *>(data);
  for (auto [to, from] : moves) {
    int64_t at[16] = {};
    int64_t offset = 0;
    for (;;) {
      std::memcpy(bytes + offset + to * rowStride, bytes + offset + from * rowStride, size_t(chunk));
      int axis = 0;
      for (; axis < outsides; ++axis) {
        offset += outside[axis].stride;
        if (++at[axis] < outside[axis].count)
          break;
        offset -= outside[axis].stride * outside[axis].count;
        at[axis] = 0;
      }
      if (axis == outsides)
        break;
    }
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
      std::swap(state.now->buffer, state.next->buffer);
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
  sizes.b = int64_t(from.size());
  ++position;
  ++sizes.t;
}

Session::Result Session::result(const Argument &argument) const {
  for (const auto &[known, held] : stepResults)
    if (known == &argument) {
      Result result{static_cast<const float *>(held->value.data), {}};
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
