#include "tools/Vocabularies.h"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include <map>

namespace fovea {

std::optional<std::string> vocabularyFromJson(const std::string &path, const std::string &content, int64_t scored, std::string &error) {
  using json = nlohmann::json;
  auto fail = [&](const std::string &sentence) {
    error = path + ": " + sentence;
    return std::nullopt;
  };
  json root;
  try {
    root = json::parse(content, [](int depth, json::parse_event_t, json &) { return depth < 2; });
  } catch (const json::parse_error &wrong) {
    return fail(fmt::format("this is not JSON (byte {})", wrong.byte));
  } catch (const json::exception &) {
    return fail("this is not JSON");
  }
  if (!root.is_object() || root.empty()) return fail("a vocabulary in JSON is an object that gives each token its number");
  constexpr uint64_t most = 10'000'000;
  std::map<uint64_t, const std::string *> tokens;
  auto shown = [](const std::string &token) { return "`" + (token.size() > 60 ? token.substr(0, 60) + "..." : token) + "`"; };
  for (auto entry = root.begin(); entry != root.end(); ++entry) {
    const std::string &token = entry.key();
    if (!entry->is_number_unsigned() || entry->get<uint64_t>() >= most) return fail(fmt::format("token {} has no number from 0 to {}", shown(token), most - 1));
    auto [other, fresh] = tokens.emplace(entry->get<uint64_t>(), &token);
    if (!fresh) return fail(fmt::format("tokens {} and {} have one number, {}", shown(*other->second), shown(token), other->first));
    if (token.empty() || token.find('\n') != std::string::npos || token.back() == '\r') return fail(fmt::format("token {} is empty or ends a line", other->first));
  }
  std::string lines;
  const uint64_t count = scored > 0 ? static_cast<uint64_t>(scored) : tokens.rbegin()->first + 1;
  for (uint64_t number = 0; number < count; ++number) {
    auto token = tokens.find(number);
    std::string unused = fmt::format("<unused {}>", number);
    if (token == tokens.end() && root.contains(unused)) return fail(fmt::format("token {} is the name of number {}, which no token has", shown(unused), number));
    lines += (token == tokens.end() ? unused : *token->second) + "\n";
  }
  return lines;
}

}  // namespace fovea
