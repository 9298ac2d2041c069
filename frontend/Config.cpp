#include "frontend/Config.h"

#include "runtime/support/Json.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

namespace fovea {

using ast::Literal;

static std::string written(const Literal &value) {
  switch (value.kind) {
  case Literal::Integer: return std::to_string(value.integer);
  case Literal::Real: return nlohmann::json(value.real).dump();
  case Literal::Boolean: return value.integer ? "true" : "false";
  default: break;
  }
  constexpr size_t longest = 60;
  return "\"" + (value.text.size() > longest ? value.text.substr(0, longest) + "..." : value.text) + "\"";
}

static bool equal(const Literal &a, const Literal &b) {
  auto number = [](const Literal &v) { return v.kind == Literal::Real ? v.real : static_cast<double>(v.integer); };
  bool numbers = a.kind <= Literal::Real && b.kind <= Literal::Real;
  return numbers ? number(a) == number(b) : a.kind == b.kind && a.integer == b.integer && a.text == b.text;
}

bool Config::read(const ast::ConfigPart &part, const CheckOptions &options, SourceManager &sources, Diagnostics &diagnostics) {
  if (!part.given) return true;
  given = true;
  namespace fs = std::filesystem;
  std::error_code ignored;
  auto placeOf = [&](const ast::Name &name) {
    const std::string beside = options.folder.empty() ? "" : (fs::path(options.folder) / name.text()).string();
    if (!beside.empty() && fs::exists(beside, ignored)) return beside;
    return (fs::path(sources.name(part.range.file)).parent_path() / name.text()).string();
  };
  path = options.config.empty() ? placeOf(part.file) : options.config;
  broken = true;
  auto file = sources.load(path);
  if (!file) {
    diagnostics.error(Diag::ConfigFile, part.file.range, {path});
    return false;
  }
  if (!parse(*file, sources, diagnostics)) return false;
  for (const ast::Name &other : part.others) {
    const std::string place = placeOf(other);
    if (!fs::exists(place, ignored)) continue;
    file = sources.load(place);
    if (!file) return diagnostics.error(Diag::ConfigFile, other.range, {place}), false;
    if (!parse(*file, sources, diagnostics)) return false;
  }
  broken = false;

  for (const ast::ConfigKey &key : part.keys) {
    const auto found = values.find(key.name.text());
    if (found == values.end() && !unusable.count(key.name.text())) {
      if (key.otherwise) values.emplace(key.name.text(), *key.otherwise);
      if (key.other) {
        const Literal *other = find(*key.other, key.other->range, diagnostics);
        if (!other) return false;
        values.emplace(key.name.text(), *other);
      }
    }
    if (key.allowed.empty()) continue;
    const Literal *value = find(key.name, key.name.range, diagnostics);
    if (!value) return false;
    if (std::any_of(key.allowed.begin(), key.allowed.end(), [&](const Literal &allowed) { return equal(*value, allowed); })) continue;
    std::string list;
    for (const Literal &allowed : key.allowed) list += (list.empty() ? "" : ", ") + written(allowed);
    diagnostics.error(Diag::ConfigValue, key.name.range, {key.name.text(), path, written(*value), list});
    return false;
  }
  return true;
}

bool Config::parse(uint32_t file, SourceManager &sources, Diagnostics &diagnostics) {
  std::string_view text = sources.text(file);
  auto at = [&](size_t byte) {
    auto place = static_cast<uint32_t>(std::min(byte ? byte - 1 : 0, text.size()));
    return SourceRange{file, place, place};
  };
  size_t byte = 0;
  const auto root = shallowObject(text, byte);
  if (!root) {
    diagnostics.error(Diag::ConfigSyntax, at(byte));
    return false;
  }
  for (const auto &[key, value] : root->items()) {
    Literal literal;
    if (value.is_null()) continue;  // as a key that is missing
    values.erase(key);              // of an earlier file
    unusable.erase(key);
    if (value.is_boolean()) {
      literal.kind = Literal::Boolean;
      literal.integer = value.get<bool>();
    } else if (value.is_string()) {
      literal.kind = Literal::Text;
      literal.text = value.get<std::string>();
    } else if (value.is_number_float()) {
      literal.kind = Literal::Real;
      literal.real = value.get<double>();
      if (std::abs(literal.real) > 3.4028234663852886e38) {
        unusable[key] = "does not fit f32";
        continue;
      }
    } else if (value.is_number()) {
      literal.kind = Literal::Integer;
      if (value.is_number_unsigned() ? value.get<uint64_t>() > INT32_MAX : value.get<int64_t>() < INT32_MIN) {
        unusable[key] = "does not fit i32";
        continue;
      }
      literal.integer = value.get<int64_t>();
    } else {
      unusable[key] = value.is_array() ? "is a list" : "is an object";
      continue;
    }
    values.emplace(key, literal);
  }
  return true;
}

const Literal *Config::find(const ast::Name &key, SourceRange at, Diagnostics &diagnostics) const {
  auto found = values.find(key.text());
  if (found != values.end()) return &found->second;
  if (auto why = unusable.find(key.text()); why != unusable.end())
    diagnostics.error(Diag::ConfigType, at, {key.text(), path, why->second});
  else if (!given)
    diagnostics.error(Diag::NoConfig, at);
  else if (!broken)
    diagnostics.error(Diag::ConfigMissing, at, {path, key.text()});
  return nullptr;
}

}  // namespace fovea
