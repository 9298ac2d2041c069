"""Small checkpoints with random weights, as PyPI `transformers` saves them.

    checkpoints.py NAME FOLDER      NAME: marian, marian_two_vocabularies, bart, bart_bare (as BartModel saves it), t5, t5_untied

Their pieces are trained on the repository's pages.
"""
import json
import os
import sys

import tokenizers
import torch
import transformers

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "text"))
import pieces  # noqa: E402

LIMIT = 30                                            # steps of an output
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()


def marian_texts(name, folder):
    """Writes source.spm, target.spm and vocab.json (with two vocabularies also target_vocab.json); gives the tokens of both sides."""
    known = [pieces.train(os.path.join(folder, "source.spm"), 300), pieces.train(os.path.join(folder, "target.spm"), 240, "bpe", byte_fallback=False)]
    sides = [[side.id_to_piece(n) for n in range(3, side.get_piece_size())] for side in known]
    if name == "marian":
        sides = [sorted({*sides[0], *sides[1]})] * 2
    sides = [["</s>", "<unk>", *side, "<pad>"] for side in sides]
    for side, file in zip(sides, ["vocab.json"] if name == "marian" else ["vocab.json", "target_vocab.json"]):
        with open(os.path.join(folder, file), "w", encoding="utf-8") as out:
            json.dump({token: n for n, token in enumerate(side)}, out)
    return sides


def make(name, folder):
    """The model, ready to generate, with weights of a size that makes the tokens differ; the files of its text are written."""
    torch.manual_seed(7)
    is_t5 = name.startswith("t5")
    bart = dict(vocab_size=100, d_model=64, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=8, encoder_ffn_dim=128,
                decoder_ffn_dim=96, max_position_embeddings=220)
    t5 = dict(vocab_size=420, d_model=64, d_kv=24, num_layers=2, num_decoder_layers=2, num_heads=4, d_ff=96, decoder_start_token_id=0)
    if name.startswith("marian"):
        sizes = [len(side) for side in marian_texts(name, folder)]
        two = dict(share_encoder_decoder_embeddings=False, decoder_vocab_size=sizes[1], decoder_layers=1) if name != "marian" else {}
        pad = sizes[1] - 1
        bart |= dict(vocab_size=sizes[0])
        config = transformers.MarianConfig(**(bart | two), activation_function="swish", scale_embedding=True, pad_token_id=pad, decoder_start_token_id=pad, eos_token_id=0)
        model = transformers.MarianMTModel(config)
    elif name.startswith("bart"):
        text = tokenizers.ByteLevelBPETokenizer()
        text.train_from_iterator(pieces.sentences(), vocab_size=400, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"], show_progress=False)
        text.save_model(folder)
        bart |= dict(vocab_size=400)
        config = transformers.BartConfig(**bart, activation_function="gelu")
        model = transformers.BartForConditionalGeneration(config)
    else:
        pieces.train(os.path.join(folder, "spiece.model"), 300, pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
        config = transformers.T5Config(**t5) if name == "t5" else transformers.T5Config(**t5, feed_forward_proj="gated-gelu", tie_word_embeddings=False)
        model = transformers.T5ForConditionalGeneration(config)
        if name == "t5_untied":
            model.config.tie_word_embeddings = False
            model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight))
    # T5 does not scale its scores, so its queries are small.
    sized = {"embed": 0.3, "shared": 0.3, "lm_head": 0.3, "relative": 1.0, ".q.": 0.03}
    weights = 1.2 if is_t5 else 2.0
    with torch.no_grad():
        for path, weight in model.named_parameters():
            if "embed_positions" in path and name.startswith("marian"):
                continue                              # sinusoids
            size = next((size for part, size in sized.items() if part in path), 0.1 if weight.dim() == 1 else weights * weight.shape[1] ** -0.5)
            weight.normal_(1.0 if "norm" in path and path.endswith("weight") else 0.0, size)
        if hasattr(model, "final_logits_bias"):
            model.final_logits_bias.normal_(0, 0.5)
            model.final_logits_bias[0, config.eos_token_id] = 6 if name == "bart" else 3.5
        else:
            model.lm_head.weight[config.eos_token_id] *= 3 if name == "t5" else 2
    generation = model.generation_config
    generation.forced_eos_token_id = None
    if name.startswith("marian"):
        generation.bad_words_ids = [[config.pad_token_id]]
    generation.max_length = LIMIT
    if name == "bart_bare":
        model.final_logits_bias.zero_()
    if name.startswith("bart"):
        generation.forced_bos_token_id = config.bos_token_id
    return model.eval()


def save(name, folder):
    """Writes the checkpoint with its vocabulary, and gives the model and its tokenizer."""
    os.makedirs(folder, exist_ok=True)
    model = make(name, folder)
    (model.model if name == "bart_bare" else model).save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    if name.startswith("bart"):
        return model, transformers.BartTokenizer.from_pretrained(folder)
    if name.startswith("t5"):
        return model, transformers.T5Tokenizer.from_pretrained(folder)
    files = [os.path.join(folder, file) for file in ("source.spm", "target.spm", "vocab.json")]
    two = dict(separate_vocabs=True, target_vocab_file=os.path.join(folder, "target_vocab.json")) if name != "marian" else {}
    return model, transformers.MarianTokenizer(*files, **two)


if __name__ == "__main__":
    save(*sys.argv[1:])
