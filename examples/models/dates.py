"""Dates as a task: as people write them, in English, to ISO 8601. `21st of August, 2016` gives `2016-08-21`. Dates lie between 1950 and 2049; years of two
digits are of 1950 to 2049 too. Numbers alone are day first with points, month first with slashes, as most of those who write so mean them."""
import datetime
import os
import random
import string
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "python"))
import sequence_training as training  # noqa: E402

MONTHS = "january february march april may june july august september october november december".split()
DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
FIRST, LAST = datetime.date(1950, 1, 1).toordinal(), datetime.date(2049, 12, 31).toordinal()


def ordinal(day):
    return f"{day}{'th' if 10 < day < 14 else {1: 'st', 2: 'nd', 3: 'rd'}.get(day % 10, 'th')}"


def written(date, draw):
    """One of the ways to write a date, by a random generator."""
    month, short = MONTHS[date.month - 1], MONTHS[date.month - 1][:3]
    name = draw.choice([month, short])
    year = draw.choice([str(date.year)] * 3 + [f"{date.year % 100:02}", f"'{date.year % 100:02}"])
    day = draw.choice([str(date.day), ordinal(date.day)])
    weekday = draw.choice(["", "", DAYS[date.weekday()] + " ", DAYS[date.weekday()][:3] + ", "])
    return draw.choice([
        f"{weekday}{day} {name} {year}", f"{weekday}{day} of {month} {date.year}", f"{weekday}{name} {day}, {date.year}", f"{weekday}{name} {day} {date.year}",
        f"{date.day}.{date.month}.{year}", f"{date.day:02}.{date.month:02}.{date.year}", f"{date.month}/{date.day}/{year}", f"{date.month:02}/{date.day:02}/{date.year}",
        f"{date.day}-{short}-{year}", f"the {ordinal(date.day)} of {month}, {date.year}", f"{date.year} {month} {date.day}", f"{date.year}/{date.month}/{date.day}"])


def part(date):
    """A date is for tests as a whole, in all its ways of writing: one in ten."""
    return "test" if random.Random(date.toordinal()).random() < 0.1 else "train"


def examples(which, count, seed):
    """{text: date} of `count` random texts."""
    draw, found = random.Random(seed), {}
    while len(found) < count:
        date = datetime.date.fromordinal(draw.randint(FIRST, LAST))
        if part(date) == which:
            found[written(date, draw)] = date.isoformat()
    return found


TRUTH = {**examples("test", 5000, 2), **examples("train", 500, 3)}


def score(answers):
    return {"dates": 100 * sum("".join(tokens) != TRUTH[text] for text, tokens in answers.items()) / len(answers)}


TASK = training.Task(["<pad>", "<unk>", "</s>"] + list(string.ascii_lowercase + string.digits + " ,./-'"), ["<pad>", "<s>", "</s>"] + list(string.digits) + ["-"], 12,
                     lambda: list(examples("train", 60000, 1).items()), lambda: list(TRUTH)[:5000], score, lambda: list(TRUTH)[5000:], words=False)
