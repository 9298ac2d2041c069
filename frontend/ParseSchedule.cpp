// Schedules (rule K10).
#include "frontend/Parser.h"

namespace fovea {

using namespace ast;

// schedule <- 'schedule' name 'for' target '{' settings '}'
bool Parser::parseSchedule() {
  SourceRange begin = take().range;
  Schedule schedule;
  if (!expectName(schedule.kernel) || !expect(TokenKind::KwFor) || !parseScheduleTarget(schedule.target)) return false;
  if (!expect(TokenKind::LeftBrace) || !parseSettings(schedule, {}, false)) return false;
  schedule.range = join(begin, previous());
  file->schedules.push_back(std::move(schedule));
  return true;
}

// target <- name ('-' (name / integer))*      # without spaces: x86-64-v3
bool Parser::parseScheduleTarget(SourceRange &range) {
  Name name;
  if (!expectName(name)) return false;
  range = name.range;
  auto follows = [&](size_t ahead) { return peek(ahead).range.begin == (ahead ? peek(ahead - 1).range.end : range.end); };
  while (is(TokenKind::Minus) && follows(0) && (peek(1).kind == TokenKind::Name || peek(1).kind == TokenKind::Integer) && follows(1)) {
    take();
    range.end = take().range.end;
  }
  return true;
}

// settings <- (name '=' (integer / name) ';' / 'attend' integer '{' settings '}' / name '{' settings '}')* '}'
bool Parser::parseSettings(Schedule &schedule, Setting within, bool nested) {
  while (!accept(TokenKind::RightBrace)) {
    Setting setting = within;
    if (!expectName(setting.key)) return false;
    if (!nested && setting.key.text() == "attend" && is(TokenKind::Integer)) {
      setting.value = peek().range;
      if (!expectInteger(setting.attend) || !expect(TokenKind::LeftBrace)) return false;
      if (setting.attend < 1) diagnostics.error(Diag::SettingValue, setting.value, {"attend", "a number from 1 on"}), file->ok = false;
      if (!parseSettings(schedule, setting, true)) return false;
      continue;
    }
    if (!within.version && is(TokenKind::LeftBrace)) {
      take();
      setting.version = setting.key;
      schedule.settings.push_back(setting);
      schedule.settings.back().block = true;
      if (!parseSettings(schedule, setting, true)) return false;
      continue;
    }
    if (!expect(TokenKind::Equal)) return false;
    setting.value = peek().range;
    if (is(TokenKind::Name)) setting.word = take().symbol;
    else if (!expectInteger(setting.number)) return false;
    if (!expect(TokenKind::Semicolon)) return false;
    schedule.settings.push_back(setting);
  }
  return true;
}

}  // namespace fovea
