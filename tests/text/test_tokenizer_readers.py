"""Tests that each reader of tokenizer files gives the ids of the files' own library, for kinds and texts that are hard on it.

The folders are made here, by scripts that train small vocabularies; what is expected comes from tokenizers, sentencepiece
or a plain byte-pair encoder, never from the readers.
"""

import io
import json
import sys
import tempfile
import unittest
from pathlib import Path

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

ROOT = Path(__file__).resolve().parents[2]
KINDS = ROOT / "tests" / "golden" / "tokenizer" / "kinds"
sys.path.insert(0, str(ROOT / "src" / "text"))
sys.path.insert(0, str(KINDS.parent))
import make_kinds  # noqa: E402
import tokenizer_files  # noqa: E402
from tokenizer_folder import RequestError  # noqa: E402

SENTENCES = "The heron stood in the dry channel and waited. Its  old naïve eyes saw 東京 and the boats of 1887.\n" * 20
HOSTILE = {
    "plain": "The heron waited.",
    "double spaces": "two  spaces   three    four",
    "leading space": " a leading space",
    "two leading spaces": "  two",
    "trailing space": "trailing ",
    "only spaces": "   ",
    "line ends": "old\r\nlines\r\n\r\nand\rmore\n",
    "tabs": "\ta\t\tb",
    "emoji": "👍🏽 👩‍👩‍👧 🇪🇪",
    "combining": "cafe\u0301 A\u030angstro\u0308m e\u0301\u0323",
    "composed": "café Å",
    "special spelled": "<s>a</s> <unk> <|endoftext|>b [CLS] [SEP] <pad>",
    "opened by BOS": "<s>The heron",
    "opened by a space and BOS": " <s> The heron",
    "added": "one<extra>two <extra>  three",
    "metaspace": "a\u2581b",
    "other scripts": "東京は夜。Ρόδος שלום العربية हिन्दी",
    "widths": "ｆｕｌｌ　ｗｉｄｔｈ ﬁ ½",
    "controls": "a\u200bb\ufeffc\x7f",
    "digits": "1887 3.50 20000000",
    "empty": "",
}
BOS, EOS = ("<s>", 1), ("</s>", 2)


def train(tokenizer, trainer_class, **options):
    options = {"vocab_size": 400, "show_progress": False, **options}
    tokenizer.train_from_iterator([SENTENCES], trainer_class(**options))
    return tokenizer


def byte_level_pieces(prefix_space=False):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return train(tokenizer, trainers.BpeTrainer, special_tokens=["<unk>", "<s>", "</s>"], initial_alphabet=alphabet)


def opened(tokenizer, template="<s> $A", special=(BOS,)):
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=list(special))
    return tokenizer


def word_piece():
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    train(tokenizer, trainers.WordPieceTrainer, special_tokens=["<unk>", "[CLS]", "[SEP]"])
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    return tokenizer


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<unk>", "<s>", "</s>"]
    train(tokenizer, trainers.UnigramTrainer, special_tokens=special, unk_token="<unk>", vocab_size=120)
    return opened(tokenizer, "$A </s>", (EOS,))


def with_added_and_runs():
    tokenizer = byte_level_pieces()
    tokenizer.add_tokens([AddedToken("<extra>", normalized=False), AddedToken("  ", normalized=True)])
    return opened(tokenizer)


def roberta():
    tokenizer = byte_level_pieces(prefix_space=True)
    tokenizer.post_processor = processors.RobertaProcessing(EOS, BOS)
    return tokenizer


def truncating():
    tokenizer = opened(byte_level_pieces(), "<s> $A </s>", (BOS, EOS))
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=16)
    return tokenizer


JSON_KINDS = {
    "byte-level, opened": lambda: opened(byte_level_pieces()),
    "byte-level, opened and closed, truncating": truncating,
    "WordPiece": word_piece,
    "Unigram, closed": unigram,
    "added tokens": with_added_and_runs,
    "RoBERTa": roberta,
}


def sentencepiece_model(**options):
    model = io.BytesIO()
    options = {"model_type": "bpe", "vocab_size": 330, "byte_fallback": True, "character_coverage": 1.0, **options}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES.splitlines()), model_writer=model, num_threads=1, minloglevel=2, **options
    )
    return model.getvalue()


AS_LLAMA = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False, "allow_whitespace_only_pieces": True}
# Options of the model, and of tokenizer_config.json.
SENTENCEPIECE_KINDS = {
    "Llama, legacy": (AS_LLAMA, {}),
    "Llama, not legacy": (AS_LLAMA, {"legacy": False}),
    "no first space": ({**AS_LLAMA, "add_dummy_prefix": False}, {}),
    "normalising": ({"vocab_size": 340}, {}),
    "unigram": ({"model_type": "unigram", "vocab_size": 320, "hard_vocab_limit": False}, {}),
}


class Folders(unittest.TestCase):
    def setUp(self):
        self.root = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def folder(self, **files):
        folder = Path(tempfile.mkdtemp(dir=self.root))
        for name, content in files.items():
            name = name.replace("_json", ".json").replace("_txt", ".txt").replace("_model", ".model")
            if not isinstance(content, bytes):
                content = (content if isinstance(content, str) else json.dumps(content)).encode()
            (folder / name).write_bytes(content)
        return folder

    def assert_reads(self, reader, expected, opening):
        self.assertEqual(reader.opening, opening)
        encoded = dict(zip(HOSTILE, reader.encode(list(HOSTILE.values())), strict=True))
        for name, text in HOSTILE.items():
            self.assertEqual(encoded[name], (expected(text), None), name)

    def assert_refused(self, folder, kind, *words):
        with self.assertRaises(RequestError) as caught:
            tokenizer_files.open_folder(folder)
        self.assertEqual(caught.exception.kind, kind)
        for word in words:
            self.assertIn(word, f"{caught.exception} {caught.exception.advice}")


class TokenizerJson(Folders):
    def test_ids_are_those_of_the_library(self):
        openings = {"WordPiece": [1], "Unigram, closed": []}
        for kind, make in JSON_KINDS.items():
            with self.subTest(kind=kind):
                content = make().to_str()
                library = Tokenizer.from_str(content)
                library.encode_special_tokens = True
                library.no_truncation()
                library.no_padding()
                reader = tokenizer_files.open_folder(self.folder(tokenizer_json=content))
                self.assertTrue(reader.splits_special)
                self.assert_reads(
                    reader, lambda text: library.encode(text, add_special_tokens=False).ids, openings.get(kind, [1])
                )

    def test_a_normaliser_that_opens_a_text_does_not_double_bos(self):
        for template, special in (("<s> $A", (BOS,)), ("$A </s>", (EOS,))):
            tokenizer = opened(byte_level_pieces(), template, special)
            tokenizer.normalizer = normalizers.Replace(Regex("^(?=[^<])"), "<s>")
            content = json.loads(tokenizer.to_str())
            for token in content["added_tokens"]:
                token["normalized"] = True  # found in what the normaliser makes
            reader = tokenizer_files.open_folder(self.folder(tokenizer_json=content))
            self.assertFalse(reader.splits_special)
            self.assertEqual(reader.opening, [1])
            plain = opened(byte_level_pieces()).encode("The heron", add_special_tokens=False).ids
            self.assertEqual(reader.encode(["The heron"]), [(plain, None)])
            self.assertEqual(reader.spelled("a <s>"), ["<s>"])

    def test_a_text_that_begins_with_an_opening_token_of_no_special_kind_does_not_double_it(self):
        content = json.loads(opened(byte_level_pieces()).to_str())
        for token in content["added_tokens"]:
            token["special"] = False
        reader = tokenizer_files.open_folder(self.folder(tokenizer_json=content))
        ((alone, _), (spelled, _)) = reader.encode(["The heron", "<s>The heron"])
        self.assertEqual((reader.opening, spelled), ([1], alone))

    def test_a_text_without_a_token_is_named_and_the_others_stay(self):
        words = Tokenizer(models.WordLevel({"the": 0, "heron": 1}, unk_token="<unk>"))
        words.pre_tokenizer = pre_tokenizers.Whitespace()
        reader = tokenizer_files.open_folder(self.folder(tokenizer_json=words.to_str()))
        good, bad, last = reader.encode(["the heron", "the crow", "heron"])
        self.assertEqual((good, last), (([0, 1], None), ([1], None)))
        self.assertEqual(bad[0], [])
        self.assertIn("the tokenizer fails on it", bad[1])

    def test_settings_that_contradict_the_file_are_told(self):
        for asked, make in ((True, byte_level_pieces), (False, lambda: opened(byte_level_pieces()))):
            folder = self.folder(tokenizer_json=make().to_str(), tokenizer_config_json={"add_bos_token": asked})
            reader = tokenizer_files.open_folder(folder)
            said = tokenizer_files.Comparison(reader).sentence(["a"], [], list)
            self.assertIn(f"add_bos_token: {str(asked).lower()}", said)
            self.assertIn("they put nothing" if asked else "they put a token", said)

    def test_dropout_is_refused_by_name(self):
        content = json.loads(byte_level_pieces().to_str())
        content["model"]["dropout"] = 0.1
        self.assert_refused(
            self.folder(tokenizer_json=content), "untrusted_tokenizer", "BPE dropout (0.1)", '"dropout": null'
        )
        content["model"]["dropout"] = 0.0
        tokenizer_files.open_folder(self.folder(tokenizer_json=content))

    def test_pointers_of_git_lfs_are_named(self):
        pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 2\n"
        self.assert_refused(self.folder(tokenizer_json=pointer), "broken_tokenizer", "tokenizer.json", "git lfs pull")
        self.assert_refused(self.folder(tokenizer_model=pointer), "broken_tokenizer", "tokenizer.model", "git lfs pull")


class SentencePiece(Folders):
    def test_ids_are_those_of_the_library(self):
        for kind, (options, settings) in SENTENCEPIECE_KINDS.items():
            with self.subTest(kind=kind):
                model = sentencepiece_model(**options)
                library = sentencepiece.SentencePieceProcessor(model_proto=model)
                settings = {"add_bos_token": True, "bos_token": "<s>", **settings}
                folder = self.folder(tokenizer_model=model, tokenizer_config_json=settings)
                self.assert_reads(tokenizer_files.open_folder(folder), library.encode, [1])

    def test_a_model_that_takes_spaces_away_keeps_the_one_that_begins_a_text(self):
        model = sentencepiece_model(vocab_size=340)
        library = sentencepiece.SentencePieceProcessor(model_proto=model)
        settings = {"add_bos_token": False, "legacy": False}
        reader = tokenizer_files.open_folder(self.folder(tokenizer_model=model, tokenizer_config_json=settings))
        for text in ("The heron waited.", "naïve 東京 1887"):
            self.assertEqual(reader.encode([text]), [(library.encode(text), None)])

    def test_added_tokens_are_cut_out_and_special_ones_are_text(self):
        model = sentencepiece_model(**AS_LLAMA)
        library = sentencepiece.SentencePieceProcessor(model_proto=model)
        number = library.get_piece_size()
        added = {str(number): {"content": "<extra>"}, str(number + 1): {"content": "<end>", "special": True}}
        for legacy in (True, False):
            settings = {"add_bos_token": False, "legacy": legacy, "added_tokens_decoder": added}
            reader = tokenizer_files.open_folder(self.folder(tokenizer_model=model, tokenizer_config_json=settings))
            ((ids, _), (spelled, _)) = reader.encode(["heron<extra>waited", "<end>"])
            # As transformers 4 did: without `legacy: false` what follows a token begins like a text of its own.
            after = library.encode("waited") if legacy else library.encode("\nwaited")[2:]
            self.assertEqual(ids, library.encode("heron") + [number] + after)
            self.assertEqual(spelled, library.encode("<end>"))
            self.assertEqual(reader.decode([number, number + 1]), "<extra><end>")
            self.assertEqual(reader.decode([number, number + 1], skip_special_tokens=True), "<extra>")

    def test_no_first_space_where_the_settings_say_so(self):
        model = sentencepiece_model(**AS_LLAMA)
        bare = sentencepiece.SentencePieceProcessor(
            model_proto=sentencepiece_model(**AS_LLAMA, add_dummy_prefix=False)
        )
        settings = {"add_bos_token": False, "legacy": False, "add_prefix_space": False}
        reader = tokenizer_files.open_folder(self.folder(tokenizer_model=model, tokenizer_config_json=settings))
        pieces = reader.decode(reader.encode(["heron"])[0][0])
        self.assertEqual(pieces, "heron")
        self.assertEqual(len(reader.encode(["heron"])[0][0]), len(bare.encode("heron")))

    def test_an_empty_model_is_refused(self):
        folder = self.folder(tokenizer_model=b"", tokenizer_config_json={"add_bos_token": True})
        self.assert_refused(folder, "broken_tokenizer", "the file is empty")

    def test_sampling_is_refused_by_name(self):
        settings = {"add_bos_token": True, "sp_model_kwargs": {"enable_sampling": True}}
        folder = self.folder(tokenizer_model=sentencepiece_model(), tokenizer_config_json=settings)
        self.assert_refused(folder, "untrusted_tokenizer", "enable_sampling")


class VocabularyAndMerges(Folders):
    def test_ids_are_those_of_a_plain_encoder(self):
        for prefix_space in (False, True):
            tokenizer = byte_level_pieces()
            vocabulary, merges = make_kinds.vocabulary_and_merges(tokenizer)
            plain = make_kinds.PlainBytePairs(vocabulary, merges, make_kinds.GPT2_WORDS, [])

            def expected(text, prefix_space=prefix_space, plain=plain):
                return plain.encode(" " + text if prefix_space and text and text[0] != " " else text)

            folder = self.folder(
                vocab_json=vocabulary,
                merges_txt="#version: 0.2\n" + "\n".join(map(" ".join, merges)) + "\n",
                tokenizer_config_json={
                    "tokenizer_class": "GPT2Tokenizer",
                    "add_bos_token": True,
                    "bos_token": "<s>",
                    "add_prefix_space": prefix_space,
                },
            )
            with self.subTest(prefix_space=prefix_space):
                self.assert_reads(tokenizer_files.open_folder(folder), expected, [1])


class OtherFiles(Folders):
    def test_what_no_other_reader_knows_is_read_by_transformers(self):
        vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nheron\nwaited\n.\n"
        folder = self.folder(
            vocab_txt=vocabulary, tokenizer_config_json={"tokenizer_class": "BertTokenizer"}, config_json={"model_type": "bert"}
        )
        reader = tokenizer_files.open_folder(folder)
        self.assertIn("BertTokenizer of transformers", reader.source)
        self.assertEqual(reader.opening, [2])
        self.assertEqual(reader.encode(["The heron waited."]), [([5, 6, 7, 8], None)])
        self.assertNotIn(3, reader.encode(["[SEP]"])[0][0])


class LongLines(unittest.TestCase):
    def test_a_line_of_a_megabyte_is_one_text(self):
        line = "The heron waited.  " * 55_000
        for kind in ("neox", "sentencepiece"):
            reader = tokenizer_files.open_folder(KINDS / kind)
            ((ids, problem),) = reader.encode([line])
            self.assertIsNone(problem)
            self.assertEqual(reader.decode(ids), line, kind)
            if kind == "neox":
                library = Tokenizer.from_file(str(KINDS / kind / "tokenizer.json"))
            else:
                library = sentencepiece.SentencePieceProcessor(model_file=str(KINDS / kind / "tokenizer.model"))
            expected = library.encode(line)
            self.assertEqual(ids, expected.ids if kind == "neox" else expected)


if __name__ == "__main__":
    unittest.main()
