#include "runtime/program/Session.h"

#include "runtime/program/Error.h"
#include "runtime/program/Padding.h"

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
      encodeResults.push_back({&argument, state.now, hold(), axisOf(argument, 'b')});
    }
    if (!known) {
      if (argument.what == What::Tokens) {
        known = &sourceTokens.value;
        readsTokens = true;
      } else if (argument.what == What::Length) {
        known = &sourceLengths.value;
        readsLengths = true;
      } else {
        Held *held = hold();
        encodeResults.push_back({&argument, held, hold(), std::max(axisOf(argument, 's'), axisOf(argument, 'b'))});
        known = &held->value;
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
  sizes = sizesOf(sources, 0, sources.size());
  position = 0;
  mostRows = std::max(most, sizes.s);

  for (const EncodeResult &result : encodeResults)
    result.held->reserve(bytesFor(*result.argument, sizes));
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

  std::vector<int64_t> tokens;
  for (const auto *source : sources)
    tokens.push_back(int64_t(source->size()));
  const std::vector<size_t> ends = groupsByLength(tokens);
  bool grouped = ends.size() > 1;
  for (size_t n = 0; grouped && n < ends.size(); ++n)
    grouped = canGroup(sizesOf(sources, n ? ends[n - 1] : 0, ends[n]));
  if (grouped)
    encodeInGroups(sources, ends);
  else
    encodeTogether(sources, 0, sizes);
}

// Runs encode over as many sources from `first` on as `sizes` says.
void Session::encodeTogether(const std::vector<const std::vector<int32_t> *> &sources, size_t first, const Sizes &sizes) {
  give(sources, first, sizes);
  calls[0].run(sizes);
}

// Of encode, over some of the sources.
Sizes Session::sizesOf(const std::vector<const std::vector<int32_t> *> &sources, size_t first, size_t end) const {
  Sizes some{int64_t(end - first), int64_t(end - first), 0, 1};
  for (size_t row = first; row < end; ++row)
    some.i = std::max(some.i, int64_t(sources[row]->size()));
  return some;
}

// Whether what encode makes of a group has a place in what it makes of all. A device is better with one launch than with fewer tokens; and
// without lengths the padding is a part of the line.
bool Session::canGroup(const Sizes &group) const {
  return model.place.isHost() && readsLengths && std::all_of(encodeResults.begin(), encodeResults.end(), [&](const EncodeResult &result) {
           const Shape &shape = result.argument->shape;
           return result.batch >= 0 && std::all_of(shape.begin(), shape.end(), [&](const Extent &extent) { return extent.evaluate(group) <= extent.evaluate(sizes); });
         });
}

// Lets the stages read the tokens and lengths of so many sources.
void Session::give(const std::vector<const std::vector<int32_t> *> &sources, size_t first, const Sizes &sizes) {
  const auto begin = sources.begin() + int64_t(first), end = begin + sizes.s;
  if (readsTokens) {
    padded.assign(size_t(product(sizes.s, sizes.i)), 0);
    for (auto source = begin; source != end; ++source)
      std::copy((*source)->begin(), (*source)->end(), padded.begin() + (source - begin) * sizes.i);
    sourceTokens.set(model.place, padded.data(), int64_t(padded.size()));
  }
  if (readsLengths) {
    lengths.clear();
    for (auto source = begin; source != end; ++source)
      lengths.push_back(int32_t((*source)->size()));
    sourceLengths.set(model.place, lengths.data(), sizes.s);
  }
}

// Runs encode over each group, padded to its own longest source, and puts its rows where they belong; zeros behind them.
void Session::encodeInGroups(const std::vector<const std::vector<int32_t> *> &sources, const std::vector<size_t> &ends) {
  for (const EncodeResult &result : encodeResults)
    model.place.clear(result.held->value.data, bytesFor(*result.argument, sizes));
  size_t first = 0;
  for (size_t end : ends) {
    const Sizes group = sizesOf(sources, first, end);
    for (const EncodeResult &result : encodeResults) {
      result.part->reserve(bytesFor(*result.argument, group));
      std::swap(result.held->value, result.part->value);
    }
    encodeTogether(sources, first, group);
    Moves rows;
    for (size_t row = first; row < end; ++row)
      rows.push_back({int32_t(row), int32_t(row - first)});
    for (const EncodeResult &result : encodeResults) {
      std::swap(result.held->value, result.part->value);
      moveRows(*result.argument, result.batch, {result.held->value.data, sizes}, {result.part->value.data, group}, group, rows);
    }
    first = end;
  }
  give(sources, 0, sizes);  // the steps read those of all
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

// Copies rows as `moves` says, what `used` covers of each, between tensors of the shape of `argument` or inside one.
void Session::moveRows(const Argument &argument, int batch, const Laid &to, const Laid &from, const Sizes &used, const Moves &moves) const {
  if (elements(argument.shape, used) == 0)
    return;
  // From the right: what lies together in a row, then what does not.
  int64_t toStride = int64_t(bytesOf(argument.type)), fromStride = toStride, chunk = toStride, toRow = 0, fromRow = 0;
  bool together = true;
  struct Axis { int64_t count, to, from; };
  std::vector<Axis> outside;
  for (size_t axis = argument.shape.size(); axis-- > 0;) {
    const Extent &extent = argument.shape[axis];
    const int64_t count = extent.evaluate(used), toExtent = extent.evaluate(to.sizes), fromExtent = extent.evaluate(from.sizes);
    if (int(axis) == batch) {
      toRow = toStride;
      fromRow = fromStride;
      together = false;
    } else if (together) {
      chunk *= count;
      together = count == toExtent && count == fromExtent;
    } else if (count != 1) {
      if (!outside.empty() && outside.back().count * outside.back().to == toStride && outside.back().count * outside.back().from == fromStride)
        outside.back().count *= count;
      else
        outside.push_back({count, toStride, fromStride});
    }
    toStride *= toExtent;
    fromStride *= fromExtent;
  }
  const Axis inner = outside.empty() ? Axis{1, 0, 0} : outside.front();
  std::vector<int64_t> at(outside.size(), 0);
  for (int64_t toOffset = 0, fromOffset = 0;;) {
    model.place.moveRows({to.data, from.data, toOffset, fromOffset, toRow, fromRow, inner.to, inner.from, inner.count, chunk, pairsOf(moves), int64_t(moves.size())});
    size_t axis = 1;
    for (; axis < outside.size(); ++axis) {
      toOffset += outside[axis].to;
      fromOffset += outside[axis].from;
      if (++at[axis] < outside[axis].count)
        break;
      toOffset -= outside[axis].to * outside[axis].count;
      fromOffset -= outside[axis].from * outside[axis].count;
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
      Moves all;
      for (size_t row = 0; row < from.size(); ++row)
        all.push_back({int32_t(row), from[row]});
      Sizes next = sizes;
      next.b = int64_t(from.size());
      moveRows(*state.argument, state.batch, {(state.changes ? state.now : state.next)->value.data, next}, {(state.changes ? state.next : state.now)->value.data, sizes}, sizes, all);
      if (state.changes)
        continue;  // the result is in place
    }
    if (state.changes || (state.batch >= 0 && !leading)) {
      std::swap(state.now->storage, state.next->storage);
      std::swap(state.now->value, state.next->value);
    }
    if (state.batch >= 0 && leading)
      moveRows(*state.argument, state.batch, {state.now->value.data, sizes}, {state.now->value.data, sizes}, sizes, moves);
  }
  const Sizes most = capacity();
  for (Cache &cache : caches)
    if (cache.batch >= 0)
      moveRows(*cache.argument, cache.batch, {cache.held->value.data, most}, {cache.held->value.data, most}, sizes, moves);
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
      add(product(bytesFor(argument, first), 2));  // of a group once more
  for (const Argument &argument : table.step.arguments)
    if (argument.what == What::State || argument.what == What::Next || argument.what == What::Cache || argument.what == What::Logits ||
        argument.what == What::Trace)
      add(bytesFor(argument, later));
  return bytes;
}

}  // namespace fovea::program
