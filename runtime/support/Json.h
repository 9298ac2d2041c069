// Objects of JSON in a checkpoint's files.
#ifndef FOVEA_RUNTIME_SUPPORT_JSON_H
#define FOVEA_RUNTIME_SUPPORT_JSON_H

#include <nlohmann/json.hpp>

#include <optional>
#include <string_view>

namespace fovea {

// The object that a text is, without what is nested in its values: those are empty. For any other text nullopt; `byte` is then where it stops being JSON, from 1,
// or 0 where it is JSON and no object, or has a number beyond f64.
inline std::optional<nlohmann::json> shallowObject(std::string_view text, size_t &byte) {
  using nlohmann::json;
  byte = 0;
  try {
    json root = json::parse(text.begin(), text.end(), [](int depth, json::parse_event_t, json &) { return depth < 2; });
    if (root.is_object()) return root;
  } catch (const json::parse_error &wrong) {
    byte = wrong.byte;
  } catch (const json::exception &) {
  }
  return std::nullopt;
}

}  // namespace fovea

#endif  // FOVEA_RUNTIME_SUPPORT_JSON_H
