"""The searches of docs/search.md, plain and slow: the truth for the family `search`. It shares no code with the programs, and was written from that page.

A model is a function logits(prefix) -> f32 [V], where `prefix` are the tokens so far, the start token not among them. Every function below keeps whole
hypotheses as tuples of tokens and looks at all candidates; scores are f64."""

import math

import numpy

NEVER = -math.inf


def log_softmax(row):
    row = numpy.asarray(row, numpy.float64)
    top = row.max()
    return row - top - math.log(numpy.exp(row - top).sum())


class Rules:
    """S10: what changes a row before a token is chosen."""

    def __init__(self, end, suppress=(), repetition=1.0, ngram=0, least=0):
        self.end, self.suppress, self.repetition, self.ngram, self.least = end, suppress, repetition, ngram, least

    def penalised(self, row, output):
        row = numpy.array(row, numpy.float32)
        for token in set(output):
            x = float(row[token])
            row[token] = x / self.repetition if x > 0 else x * self.repetition
        return row

    def forbidden(self, output, vocabulary):
        def repeats(token):
            if self.ngram == 0 or len(output) + 1 < self.ngram:
                return False
            grams = [tuple((*output, token)[at:at + self.ngram]) for at in range(len(output) + 2 - self.ngram)]
            return grams[-1] in grams[:-1]
        return {token for token in range(vocabulary)
                if token in self.suppress or (token == self.end and len(output) < self.least) or repeats(token)}

    def choice(self, row, output):
        """The penalised row, and the same with what is forbidden at -infinity."""
        changed = self.penalised(row, output)
        allowed = changed.astype(numpy.float64)
        for token in self.forbidden(output, len(allowed)):
            allowed[token] = NEVER
        return changed, allowed


class Result:
    def __init__(self, tokens, gains, end):
        self.tokens, self.gains, self.end = tokens, gains, end      # with the end token; each token's log-probability

    @property
    def score(self):
        return sum(self.gains)

    @property
    def output(self):
        return self.tokens[:-1] if self.tokens and self.tokens[-1] == self.end else self.tokens


def gains_of(logits, tokens):
    return [float(log_softmax(logits(tokens[:n]))[tokens[n]]) for n in range(len(tokens))]


# S3 and S8: one token at a time

def greedy(logits, end, limit, rules, prefix=()):
    return walk(logits, end, limit, rules, prefix, lambda allowed, step: int(numpy.argmax(allowed)) if allowed.max() > NEVER else None)


def sample(logits, end, limit, rules, draw, prefix=(), temperature=1.0, top_k=0, top_p=1.0):
    """draw(step): a number in [0, 1)."""
    def choose(allowed, step):
        if allowed.max() == NEVER:
            return None
        p = numpy.exp(log_softmax(allowed / temperature))
        order = [int(token) for token in sorted(range(len(p)), key=lambda token: (-p[token], token))]
        if top_k:
            order = order[:top_k]
        kept, share, whole = [], 0.0, sum(p[token] for token in order)
        for token in order:
            if top_p < 1 and share >= top_p:
                break
            kept.append(token)
            share += p[token] / whole
        wanted, passed = draw(step) * sum(p[token] for token in kept), 0.0
        for token in sorted(kept):
            if p[token] > 0:
                last, passed = token, passed + p[token]
                if passed > wanted:
                    break
        return last
    return walk(logits, end, limit, rules, prefix, choose)


def walk(logits, end, limit, rules, prefix, choose):
    tokens = ()
    while len(tokens) < limit and (not tokens or tokens[-1] != end):
        if len(tokens) < len(prefix):
            token = prefix[len(tokens)]
        else:
            token = choose(rules.choice(logits(tokens), tokens)[1], len(tokens))
        if token is None:
            return None
        tokens += (token,)
    return Result(tokens, gains_of(logits, tokens), end)


def uniform(seed, line, sample, step):
    """SplitMix64 over the four numbers."""
    mask, state = 2 ** 64 - 1, 0
    for part in (seed, line, sample, step):
        state = ((state ^ part) + 0x9E3779B97F4A7C15) & mask
        state = ((state ^ state >> 30) * 0xBF58476D1CE4E5B9) & mask
        state = ((state ^ state >> 27) * 0x94D049BB133111EB) & mask
        state ^= state >> 31
    return (state >> 11) * 2.0 ** -53


# S4 to S7, S11 to S14: beams

class Beams:
    def __init__(self, logits, end, limit, rules, beam, nbest=1, prefix=(), penalty=0.0, norm="power", coverage=0.0, weights=None, patience=0.0, groups=1,
                 diversity=0.0, required=(), phrases=()):
        """weights(tokens): [steps, source], where the model looked at each step of a hypothesis."""
        self.logits, self.end, self.limit, self.rules, self.prefix = logits, end, limit, rules, prefix
        self.nbest, self.groups, self.width = nbest, groups, beam // groups
        self.penalty, self.norm, self.coverage, self.weights = penalty, norm, coverage, weights
        self.patience, self.diversity, self.required = patience, diversity, list(required)
        self.phrases = sorted(set(phrases))
        self.wanted = len(self.required) + sum(map(len, self.phrases))

    def normalised(self, score, length):
        if self.penalty == 0:
            return score
        return score / (length if self.norm == "power" else (5 + length) / 6) ** self.penalty

    def rank(self, score, tokens):
        rank = self.normalised(score, len(tokens))
        if self.coverage:
            sums = numpy.array(self.weights(tokens), numpy.float64).sum(0)
            rank += self.coverage * float(numpy.log(numpy.clip(sums, 1e-6, 1)).sum())
        return rank

    def met(self, tokens):
        """Single tokens, whole phrases, and of the others the most with which the tokens end."""
        has = lambda phrase: any(tokens[at:at + len(phrase)] == phrase for at in range(len(tokens)))
        ends = [n for phrase in self.phrases if not has(phrase) for n in range(1, len(phrase)) if tokens[-n:] == phrase[:n]]
        return sum(min(tokens.count(token), self.required.count(token)) for token in set(self.required)) + \
            sum(len(phrase) for phrase in self.phrases if has(phrase)) + max(ends, default=0)

    def candidates(self, live, taken):
        """(order, score, place of the hypothesis, token, tokens), best first."""
        found = []
        for place, (score, tokens) in enumerate(live):
            changed, allowed = self.rules.choice(self.logits(tokens), tokens)
            whole = log_softmax(changed.astype(numpy.float64))
            forced = self.prefix[len(tokens)] if len(tokens) < len(self.prefix) else None
            for token in range(len(whole)):
                if forced is not None:
                    if token == forced:
                        found.append((score + whole[token], score + whole[token], place, token, tokens + (token,)))
                elif allowed[token] > NEVER and not (token == self.end and self.met(tokens) < self.wanted):
                    gain = score + whole[token]
                    found.append((gain - self.diversity * taken.count(token), gain, place, token, tokens + (token,)))
        return sorted(found, key=lambda c: (-c[0], c[2], c[3]))

    def choose(self, candidates):
        """Who ends and who lives on: seats for each number of required tokens met."""
        banks = [[c for c in candidates if self.met(c[4]) == met][:2 * self.width] for met in range(self.wanted + 1)]
        each = self.width // len(banks)
        ends = [c for c in banks[-1][:self.width] if c[3] == self.end]
        live, rest = [], []
        for met, bank in enumerate(banks):
            seats = each if met < self.wanted else self.width - each * self.wanted
            going = [c for c in bank if c[3] != self.end]
            live += going[:seats]
            rest += going[seats:]
        by_order = lambda c: (-c[0], c[2], c[3])
        live += sorted(rest, key=by_order)[:self.width - len(live)]
        return ends, sorted(live, key=by_order)

    def run(self):
        live = [[(0.0, ())] for _ in range(self.groups)]
        finished = [[] for _ in range(self.groups)]                   # (rank, tokens)
        counts = [0] * self.groups
        for step in range(1, self.limit + 1):
            taken = []
            for g in range(self.groups):
                if not live[g]:
                    continue
                ends, going = self.choose(self.candidates(live[g], taken))
                done = list(ends)
                if step == self.limit:
                    done += [c for c in going if self.met(c[4]) == self.wanted]
                done.sort(key=lambda c: (-c[0], c[2], c[3]))
                finished[g] += [(self.rank(c[1], c[4]), c[4]) for c in done]
                finished[g].sort(key=lambda f: -f[0])
                finished[g] = finished[g][:self.width]
                counts[g] += len(done)
                taken += [c[3] for c in ends + going]
                live[g] = [(c[1], c[4]) for c in going]
                if self.patience and counts[g] >= max(1, math.ceil(self.patience * self.width - 1e-9)):
                    live[g] = []
                # Nothing better can come: a score only falls, a longer output divides it by more, and coverage is 0 at best.
                if live[g] and len(finished[g]) == self.width and \
                        max(self.normalised(score, self.limit) for score, _ in live[g]) <= finished[g][-1][0]:
                    live[g] = []
        results = []
        for _, tokens in sorted(sum(finished, []), key=lambda f: -f[0]):
            if tokens not in results:
                results.append(tokens)
        return [Result(tokens, gains_of(self.logits, tokens), self.end) for tokens in results[:self.nbest]]
