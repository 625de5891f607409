"""What those who define the metrics say of random cases: the golden file of the crate `metrics`.

usage: make.py JIANT FOLDER

JIANT is the unpacked package `jiant`, which has the official scripts of SQuAD 2.0 and of ReCoRD (the rules of SQuAD
1.1). The other packages are pinned in `xtask/src/golden.rs`. Writes `metrics.json`: a list of cases for each subject,
each with what went in and what came out. Seeds are fixed; ties, empty texts and Unicode are made on purpose.
"""
import functools
import importlib.util
import itertools
import json
import pathlib
import random
import sys
import types
import warnings

import jiwer
import numpy as np
import pytrec_eval
import sacrebleu
import scipy.optimize
import scipy.special
import scipy.stats
import sklearn.calibration
import sklearn.metrics as sk
from nltk.stem.porter import PorterStemmer
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF, TER
from seqeval import scheme as schemes
from seqeval.metrics.sequence_labeling import get_entities, precision_recall_fscore_support
from seqeval.metrics.v1 import precision_recall_fscore_support as strict

warnings.simplefilter("ignore")
rng = random.Random(5)
WORDS = """the a an of and cat cats dog, running relational "happy" U.S. 3.14 1,000 10-12 state-of-the-art don't it's
(well) ... ! ? & &amp; &lt;b&gt; $5 50% caf\u00e9 na\u00efve \u00dcber stra\u00dfe \u0130stanbul \u039f\u0394\u039f\u03a3 \u2014 \u201cquoted\u201d \u2026 \u2192
\u4eca\u5929 \u5929\u6c14\u5f88\u597d\u3002 \u6211\u4eec\u53bb\u516c\u56ed\uff0c\u5427\uff01 \uff21\uff22 \u30ab\u30bf\u30ab\u30ca \U00020000\U00020001 \u0939\u093f\u0928\u094d\u0926\u0940 \u0645\u0631\u062d\u0628\u0627
\U0001f600 x<skipped>y end.- 7, ,8 a.b the. THE 2\u00bd \u2160\u2161 \u20ac9 +1 ' -""".split()


def text(n, words=WORDS):
    return " ".join(rng.choice(words) for _ in range(n))


def changed(source):
    """A text that is like another: words dropped, replaced, repeated, and a run of them moved."""
    words = source.split()
    out = []
    for word in words:
        roll = rng.random()
        out += [] if roll < 0.1 else [rng.choice(WORDS)] if roll < 0.25 else [word, word] if roll < 0.3 else [word]
    if len(out) > 4 and rng.random() < 0.7:
        start = rng.randrange(len(out) - 2)
        run, out = out[start : start + 3], out[:start] + out[start + 3 :]
        place = rng.randrange(len(out) + 1)
        out = out[:place] + run + out[place:]
    return " ".join(out)


def known(value):
    return None if value is None or not np.isfinite(value) else float(value)


def classes():
    for n, k, honest in [(1, 2, 1), (30, 2, 0.7), (40, 2, 0), (50, 5, 0.6), (60, 9, 0.3), (12, 12, 0.5), (7, 3, 1)]:
        truth = [rng.randrange(k) for _ in range(n)]
        predicted = [t if rng.random() < honest else rng.randrange(k) for t in truth]
        if n == 40:
            predicted = [0] * n
        labels = list(range(k))
        out = {
            "accuracy": sk.accuracy_score(truth, predicted),
            "balanced_accuracy": sk.balanced_accuracy_score(truth, predicted),
            "kappa": known(sk.cohen_kappa_score(truth, predicted)),
            "matthews": sk.matthews_corrcoef(truth, predicted),
            "confusion": sk.confusion_matrix(truth, predicted, labels=labels).ravel().tolist(),
            "prf": np.transpose(
                sk.precision_recall_fscore_support(truth, predicted, labels=labels, zero_division=0)[:3]
            ).tolist(),
        }
        for average in ["micro", "macro", "weighted"]:
            scores = sk.precision_recall_fscore_support(truth, predicted, average=average, zero_division=0)
            out[average] = [float(score) for score in scores[:3]]
        yield {"truth": truth, "predicted": predicted, "n_classes": k, **out}


def probabilities():
    for n, k in [(1, 2), (20, 2), (30, 3), (25, 7)]:
        probs = np.random.default_rng(n).dirichlet([0.3] * k, n)
        truth = [rng.randrange(k) for _ in range(n)]
        if n == 20:
            probs[0], probs[1], truth[0], truth[1] = [1, 0], [1, 0], 1, 0
        out = {"log_loss": sk.log_loss(truth, probs, labels=range(k))}
        out["brier"] = sk.brier_score_loss(truth, probs[:, 1] if k == 2 else probs, labels=list(range(k)))
        yield {"truth": truth, "probabilities": probs.ravel().tolist(), "n_classes": k, **out}


def auroc():
    for n, levels in [(2, 9), (40, 5), (60, 1000), (15, 1)]:
        truth = [True, False] + [rng.random() < 0.3 for _ in range(n - 2)]
        scores = [rng.randrange(levels) / 8 - 1 for _ in range(n)]
        yield {"truth": truth, "scores": scores, "auroc": sk.roc_auc_score(truth, scores)}


def values():
    for n, levels, scale in [(2, 99, 1), (30, 6, 1), (50, 10**6, 1e-3), (80, 3, 1e6), (40, 10**9, 1e150), (9, 2, 1)]:
        x = [rng.randrange(levels) * scale for _ in range(n)]
        y = [v + rng.randrange(levels) * scale for v in x]
        x[0], x[1], y[0], y[1] = 0.0, 2 * scale, scale, -scale
        small = scale < 1e100
        yield {
            "truth": x,
            "predicted": y,
            "pearson": scipy.stats.pearsonr(x, y).statistic if small else None,
            "spearman": scipy.stats.spearmanr(x, y).statistic,
            "kendall": scipy.stats.kendalltau(x, y).statistic,
            "mae": sk.mean_absolute_error(x, y),
            "mse": sk.mean_squared_error(x, y) if small else None,
            "r2": sk.r2_score(x, y) if small else None,
        }
    for y in [[2.0, 2.0, 2.0], [2.0, 2.0, 3.0]]:
        yield {"truth": [2.0] * 3, "predicted": y, "r2": sk.r2_score([2.0] * 3, y)}


def spans():
    prefixes = {None: "BIESO", "Iob1": "BIO", "Iob2": "BIO", "Ioe2": "IEO", "Iobes": "BIESO", "Bilou": "BILUO"}
    for name, letters in prefixes.items():
        for n_sentences, honest in [(1, 0.5), (8, 0.8), (15, 0.95)]:
            tag = lambda: (lambda p: p if p == "O" else p + rng.choice(["-PER", "-LOC", "-x-y", ""]))(rng.choice(letters))
            truth = [[tag() for _ in range(rng.randrange(1, 12))] for _ in range(n_sentences)]
            truth.append([letter + "-PER" for letter in letters if letter != "O"])
            predicted = [[t if rng.random() < honest else tag() for t in tags] for tags in truth]
            predicted[-1] = truth[-1]
            if name is None:
                score = precision_recall_fscore_support
                entities = [[k, s, e + 1] for k, s, e in get_entities(truth[0])]
            else:
                scheme = getattr(schemes, name.upper())
                score = functools.partial(strict, scheme=scheme)
                entities = schemes.Tokens(truth[0], scheme).entities
                entities = [[e.tag, e.start, e.end] for e in entities]
            out = {a: [known(s) for s in score(truth, predicted, average=a)[:3]] for a in ["micro", "macro", "weighted"]}
            out["kinds"] = [[float(v) for v in row] for row in np.transpose(score(truth, predicted, average=None))]
            yield {"truth": truth, "predicted": predicted, "scheme": name, "entities": entities, **out}


def module(jiant, path, stubs=()):
    for name, attribute in stubs:
        sys.modules[name] = types.ModuleType(name)
        setattr(sys.modules[name], attribute, None)
    spec = importlib.util.spec_from_file_location("official", pathlib.Path(jiant) / "jiant" / path)
    loaded = importlib.util.module_from_spec(spec)
    sys.modules["official"] = loaded
    spec.loader.exec_module(loaded)
    return loaded


def reading(jiant):
    stubs = [("transformers.models.bert.tokenization_bert", "BasicTokenizer"), ("jiant.utils.display", "maybe_tqdm")]
    v2 = module(jiant, "tasks/lib/templates/squad_style/utils.py", stubs)
    v1 = module(jiant, "utils/string_comparing.py")
    odd = ["the", "A", "", "!", "An apple", "a\u0301", "THE_end", "l'a b", "an-the", "x\u001cy", "\u0939\u093f a", "\u3002the\u3002"]
    for n, has_answer in [(1, 1), (12, 1), (25, 0.6), (40, 0.5), (6, 0)]:
        questions = []
        for idx in range(n):
            golds = [text(rng.randrange(1, 6)) for _ in range(rng.randrange(1, 4))] if rng.random() < has_answer else []
            prediction = rng.choice([changed(rng.choice(golds or odd)), rng.choice(golds or [""]), rng.choice(odd), ""])
            if golds and rng.random() < 0.3:
                golds.append(rng.choice(odd))
            questions.append([golds, prediction, rng.choice([rng.random(), 0.25, 0.5])])
        examples = [
            types.SimpleNamespace(qas_id=idx, answers=[{"text": gold} for gold in golds])
            for idx, (golds, _, _) in enumerate(questions)
        ]
        scores = v2.squad_evaluate(
            examples,
            {idx: question[1] for idx, question in enumerate(questions)},
            {idx: question[2] for idx, question in enumerate(questions)},
            0.6,
        )
        out = {key: float(value) for key, value in scores.items()}
        answered = [(golds, prediction) for golds, prediction, _ in questions if golds]
        if answered:
            for name, of in [("v1_exact", v1.exact_match_score), ("v1_f1", v1.string_f1_score)]:
                best = [max(of(prediction, gold) for gold in golds) for golds, prediction in answered]
                out[name] = 100 * sum(best) / len(best)
        yield {"questions": questions, "scores": out}


def normalized(jiant):
    v1 = module(jiant, "utils/string_comparing.py")
    texts = ["a\u0301 x", "a\u0939\u093f", "the\u2160 an", "\u3002the\u3002", "a_b a b_a", "the\u00a0a\u2003an", "\u02b0a the\u0e31"]
    texts += ["The\u0130 AN", "l'a-b a!b", "\u4e00a\u4e00 a", "a\u20dd", "\u24d0 the\u24d0", "theTHE the"]
    return {source: v1.normalize_answer(source) for source in texts}


def multirc():
    for n in [1, 30]:
        choices = [[idx // 3, rng.random() < 0.5, rng.random() < 0.5] for idx in range(n)]
        for choice in choices[: n // 2]:
            choice[2] = choice[1]
        groups = [list(group) for _, group in itertools.groupby(choices, lambda choice: choice[0])]
        exact = np.mean([all(t == p for _, t, p in group) for group in groups])
        f1 = sk.f1_score([c[1] for c in choices], [c[2] for c in choices], zero_division=0)
        yield {"choices": choices, "f1": f1, "exact": float(exact)}


TOKENIZERS = ["none", "13a", "intl", "zh", "char"]


def tokenized():
    odd = ["", " ", "a\u001cb", "x.-\ny", "1.5.6,7", "..a..", "5-6-", "\u2028a", "a\nb", "&quot;&amp;lt;", "\u00bd.\u0661,\u0661"]
    for source in odd + [text(12) for _ in range(12)]:
        words = {name: BLEU(tokenize=name)._preprocess_segment(source).split() for name in TOKENIZERS}
        yield {"text": source, "words": words}


def translations():
    """Corpora of hypotheses and references, each sentence with its own number of references."""
    for n, n_refs, length in [(1, 1, 9), (6, 1, 14), (5, 3, 9), (4, 2, 2), (3, 1, 40)]:
        refs = [[text(rng.randrange(max(1, length - 5), length + 3)) for _ in range(rng.randrange(1, n_refs + 1))] for _ in range(n)]
        hyps = [changed(rng.choice(ref)) for ref in refs]
        yield hyps, refs
    yield ["", "the cat"], [["the dog"], ["the cat", ""]]
    yield ["", "x"], [[""], ["", ""]]
    yield ["a hypothesis of many words", "the dog barks"], [["a"], ["the dog"]]
    yield ["one two three four five"], [["one two three four five six", "one two three four"]]
    yield ["nothing in common"], [["quite other words here"]]


def streams(refs):
    return [list(stream) for stream in itertools.zip_longest(*refs)]


def translation():
    smoothings = [("exp", None), ("none", None), ("floor", None), ("floor", 0.5), ("add-k", None), ("add-k", 2)]
    for hyps, refs in translations():
        out = {"bleu": [], "sentences": []}
        hows = [("13a", *smoothing, False, False) for smoothing in smoothings]
        hows += [(name, "exp", None, True, True) for name in TOKENIZERS]
        for tokenizer, smoothing, value, lowercase, effective in hows:
            metric = BLEU(lowercase, False, tokenizer, smoothing, value, effective_order=effective)
            score = metric.corpus_score(hyps, streams(refs))
            how = [tokenizer, smoothing, metric.SMOOTH_DEFAULTS[smoothing] if value is None else value, lowercase, effective]
            out["bleu"].append([*how, score.score, score.precisions, score.bp])
        for hyp, ref in zip(hyps, refs):
            out["sentences"].append(sacrebleu.sentence_bleu(hyp, ref).score)
        for order in [0, 1, 2]:
            out[f"chrf{order}"] = CHRF(word_order=order).corpus_score(hyps, streams(refs)).score
        out["ter"] = TER().corpus_score(hyps, streams(refs)).score
        yield {"hypotheses": hyps, "references": refs, **out}


def ter():
    """Longer ones of few words, where much can be moved, and unequal ones, far from the diagonal."""
    few = list("abcdefgh")
    for n_hyp, n_ref in [(30, 30), (60, 60), (12, 90), (1, 60), (90, 12), (120, 110)]:
        hyp, ref = text(n_hyp, few), text(n_ref, few)
        yield {"hypothesis": hyp, "reference": ref, "ter": TER().sentence_score(hyp, [ref]).score}
    words = [f"w{idx}" for idx in range(90)]
    ref = " ".join(words)
    for run, distance in [(3, 49), (3, 50), (3, 51), (3, 52), (10, 30), (11, 30), (12, 30), (40, 50)]:
        hyp = " ".join(words[run : run + distance] + words[:run] + words[run + distance :])
        yield {"hypothesis": hyp, "reference": ref, "ter": TER().sentence_score(hyp, [ref]).score}


def rouge():
    names = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    few = ["the", "cats", "running", "relational", "happily", "U.S.", "caf\u00e9", "a1", "\u0130", "\u212a"]
    for n, words in [(0, few), (1, few), (9, few), (25, few), (30, WORDS), (60, few)]:
        ref = text(n, words).replace(" cats ", "\ncats ").replace(" happily", " happily\n\n")
        hyp = changed(ref).replace(" the ", "\nthe ")
        if n == 60:
            ref, hyp = ref.replace(" the", "\nthe"), hyp.replace(" a1", "\na1")
        for stem in [False, True]:
            scores = RougeScorer(names, use_stemmer=stem).score(ref, hyp)
            yield {"reference": ref, "hypothesis": hyp, "stem": stem, "scores": [list(scores[name]) for name in names]}


def stems():
    endings = """s es ies sses ss ed eed ied ing y ational tional enci anci izer bli abli alli entli eli ousli ization ation ator
    alism iveness fulness ousness aliti iviti biliti fulli logi icate ative alize iciti ical ful ness al ance ence er ic
    able ible ant ement ment ent sion tion ou ism ate iti ous ive ize e ll le ally alalli at bl iz""".split()
    starts = "b tr yy happ syzyg fl fizz hopp control rel oa ea st abil geo phil mm x1 w exceed aw iy".split()
    words = {start + ending for start in starts for ending in endings if rng.random() < 0.6}
    words |= set("skies dying news inning howe proceed dies died tied spied sky enjoy enjoyment feed agreed flies".split())
    return {word: PorterStemmer().stem(word) for word in sorted(words) if len(word) > 3}


def edits():
    for n in [1, 5]:
        refs = [" ".join(text(rng.randrange(1, 12)).split()) for _ in range(n)]
        hyps = [changed(ref) if rng.random() < 0.8 else "" for ref in refs]
        yield {"references": refs, "hypotheses": hyps, "wer": jiwer.wer(refs, hyps), "cer": jiwer.cer(refs, hyps)}


def calibration():
    for n, levels, k in [(1, 9, 10), (50, 10, 10), (200, 10**6, 15), (60, 4, 7), (40, 10**6, 1), (31, 10**9, 15), (61, 10**9, 6), (50, 10**9, 7)]:
        confidence = [rng.randrange(levels + 1) / levels for _ in range(n)]
        correct = [rng.random() < c for c in confidence]
        for strategy in ["uniform", "quantile"]:
            accuracy, mean = sklearn.calibration.calibration_curve(correct, confidence, n_bins=k, strategy=strategy, pos_label=True)
            edges = np.linspace(0, 1, k + 1)
            if strategy == "quantile":
                edges = np.percentile(confidence, edges * 100)
            counts = np.bincount(np.searchsorted(edges[1:-1], confidence), minlength=k)
            counts = counts[counts > 0]
            gaps = np.abs(accuracy - mean)
            out = {"accuracy": accuracy.tolist(), "mean": mean.tolist(), "counts": counts.tolist()}
            out |= {"ece": float(np.sum(counts / n * gaps)), "mce": float(gaps.max())}
            yield {"confidence": confidence, "correct": correct, "n_bins": k, "strategy": strategy, **out}


def temperature():
    for n, k, scale in [(20, 2, 1), (60, 4, 5), (50, 3, 0.1)]:
        gen = np.random.default_rng(n)
        logits = np.round(gen.normal(size=(n, k)), 4)
        truth = [int(np.argmax(row + gen.gumbel(size=k))) for row in logits]
        logits = logits * scale

        def slope(log):
            p = scipy.special.softmax(logits / np.exp(log), axis=1)
            return float(np.sum(p * logits) - np.sum(logits[np.arange(n), truth]))

        log = scipy.optimize.brentq(slope, -8, 8, xtol=1e-15, rtol=1e-15)
        yield {"truth": truth, "logits": logits.ravel().tolist(), "n_classes": k, "temperature": float(np.exp(log))}


def paired():
    for n, levels in [(2, 99), (5, 3), (10, 10**6), (13, 4), (14, 4), (30, 10**6), (50, 10**6), (51, 10**6), (120, 6)]:
        first = [rng.randrange(levels) / levels for _ in range(n)]
        second = [rng.randrange(levels) / levels * 0.8 for _ in range(n)]
        if n == 30:
            second = [value + (-1) ** idx / 8 + 1e-9 * idx for idx, value in enumerate(first)]
        t = scipy.stats.ttest_rel(first, second)
        w = scipy.stats.wilcoxon(first, second)
        out = {"t": [t.statistic, t.pvalue], "wilcoxon": [w.statistic, w.pvalue], "sem": scipy.stats.sem(first)}
        if n <= 10:
            mean = lambda a, b: np.mean(a) - np.mean(b)
            found = scipy.stats.permutation_test((first, second), mean, permutation_type="samples", n_resamples=np.inf)
            out["randomisation"] = [found.statistic, found.pvalue]
        yield {"first": first, "second": second, **{key: np.array(value).tolist() for key, value in out.items()}}


def mcnemar():
    for b, c in [(0, 0), (0, 1), (1, 0), (3, 3), (10, 2), (5, 20), (0, 40), (300, 340), (40_000, 39_000)]:
        exact = scipy.stats.binomtest(b, b + c).pvalue if b + c else 1.0
        chi2 = max(abs(b - c) - 1, 0) ** 2 / (b + c) if b + c else 0.0
        yield {"first": b, "second": c, "exact": exact, "chi2": [chi2, float(scipy.stats.chi2.sf(chi2, 1))]}


def ranking():
    measures = {"map", "recip_rank", "ndcg", "recall_5,10", "ndcg_cut_5,10"}
    for n, n_relevant, n_missed in [(1, 1, 0), (8, 3, 2), (40, 6, 0), (20, 1, 4), (30, 0, 2), (12, 12, 0)]:
        gains = [rng.randrange(1, 4) for _ in range(n_relevant)] + [0] * (n - n_relevant)
        rng.shuffle(gains)
        missed = [rng.randrange(1, 4) for _ in range(n_missed)]
        scores = rng.sample(range(1000), n)
        qrel = {f"d{idx}": gain for idx, gain in enumerate(gains)} | {f"m{idx}": gain for idx, gain in enumerate(missed)}
        run = {f"d{idx}": float(score) for idx, score in enumerate(scores)}
        out = pytrec_eval.RelevanceEvaluator({"q": qrel}, measures).evaluate({"q": run})["q"]
        yield {"scores": scores, "gains": gains, "missed": missed, "expected": out}


def main(jiant, folder):
    subjects = [classes, probabilities, auroc, values, spans, multirc, tokenized, translation, ter, rouge, edits]
    subjects += [calibration, temperature, paired, mcnemar, ranking]
    golden = {subject.__name__: list(subject()) for subject in subjects}
    golden |= {"reading": list(reading(jiant)), "stems": stems(), "normalized": normalized(jiant)}
    path = pathlib.Path(folder) / "metrics.json"
    lines = (f"{json.dumps(name)}: {json.dumps(cases, separators=(',', ':'))}" for name, cases in golden.items())
    path.write_text("{" + ",\n".join(lines) + "}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
