"""Writes the seed corpus: small files that memcap reads (good-...) and ones that it refuses (bad-...), in seeds/TARGET.

usage: make_seeds.py [FOLDER]      FOLDER is seeds beside this script unless given
"""

import shutil
import sys
from pathlib import Path

BACKSLASH_ZERO = "\\u0000"


def entry(dtype, shape, begin, end):
    return f'{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{begin},{end}]}}'


def safetensors(header, data=b"", length=None):
    """The bytes of a file; `length` is a lie about the header's length."""
    text = header.encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


PAIR = f'{{"a":{entry("F32", "[2]", 0, 8)},"b":{entry("BF16", "[2,1]", 8, 12)}}}'

WEIGHTS = {
    "good-metadata-and-types": safetensors(
        f'{{"__metadata__":{{"format":"pt"}},"h":{entry("F16", "[3]", 0, 6)},"i":{entry("I64", "[]", 6, 14)},'
        f'"e":{entry("F8_E4M3", "[1,2]", 14, 16)},"empty":{entry("F32", "[0,5]", 16, 16)}}}   ', bytes(range(16))),
    "good-pair": safetensors(PAIR, bytes(range(12))),
    "good-odd-address": safetensors(f'{{"flag":{entry("BOOL", "[1]", 0, 1)},"w":{entry("F32", "[1]", 1, 5)}}}', b"12345"),
    "good-escaped-name": safetensors(f'{{"\\u00e9\\n\\"{BACKSLASH_ZERO}":{entry("U8", "[1]", 0, 1)}}}', b"1"),
    "good-no-tensor": safetensors("{}"),
    "good-types-of-part-of-a-byte": safetensors(
        f'{{"a":{entry("F4", "[2]", 0, 1)},"b":{entry("F6_E3M2", "[4]", 1, 4)},"c":{entry("F8_E8M0", "[1]", 4, 5)},'
        f'"d":{entry("C64", "[1]", 5, 13)}}}', bytes(range(13))),
    "bad-half-a-byte": safetensors(f'{{"a":{entry("F4", "[3]", 0, 1)}}}', b"1"),
    "bad-hole": safetensors(PAIR.replace("[8,12]", "[9,13]"), bytes(range(13))),
    "bad-bytes-before": safetensors(f'{{"w":{entry("U8", "[1]", 1, 2)}}}', b"12"),
    "bad-bytes-after": safetensors(PAIR, bytes(range(13))),
    "bad-notes": safetensors('{"__metadata__":{"a":1}}'),
    "bad-git-lfs-pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4665\nsize 562176\n",
    "bad-empty": b"",
    "bad-seven-bytes": b"\x02\0\0\0\0\0\0",
    "bad-header-cut": safetensors(PAIR)[:40],
    "bad-data-cut": safetensors(PAIR, bytes(range(11))),
    "bad-length-overflows": safetensors("{}", length=2**64 - 8),
    "bad-length-past-the-limit": safetensors("{}", length=100_000_001),
    "bad-overlap": safetensors(PAIR.replace("[8,12]", "[7,11]"), bytes(range(12))),
    "bad-offsets-backwards": safetensors(PAIR.replace("[0,8]", "[8,0]"), bytes(range(12))),
    "bad-offset-wraps": safetensors(PAIR.replace("[8,12]", "[18446744073709551612,4]"), bytes(range(12))),
    "bad-shape-overflows": safetensors(f'{{"w":{entry("F32", "[4294967296,4294967296]", 0, 0)}}}'),
    "bad-shape-sign": safetensors(f'{{"w":{entry("F32", "[0,9223372036854775808]", 0, 0)}}}'),
    "bad-type": safetensors(PAIR.replace("BF16", "F31"), bytes(range(12))),
    "bad-shape-of-floats": safetensors(PAIR.replace("[2]", "[2.0]"), bytes(range(12))),
    "bad-name-twice": safetensors(PAIR.replace('"b"', '"a"'), bytes(range(12))),
    "bad-nested": safetensors('{"w":' + "[" * 70 + "]" * 70 + "}"),
    "bad-utf8": safetensors('{"w":1}').replace(b"w", b"\xff"),
}

CONFIGS = {
    "good-llama": b'{"architectures":["LlamaForCausalLM"],"hidden_size":64,"rms_norm_eps":1e-05,"tie_word_embeddings":true,'
                  b'"head_dim":null,"rope_scaling":{"rope_type":"llama3","factor":8.0},"eos_token_id":[1,2]}',
    "good-mamba-infinity": b'{"time_step_limit":[0.0,Infinity],"norm":"Infinity \\" Infinity","nested":{"limit":Infinity}}',
    "good-written-infinity": b'{"time_step_limit":[0.0,{"__float__":"Infinity"}]}',
    "good-extremes": b'{"least":-9223372036854775808,"most":18446744073709551615,"list":[9223372036854775808],"small":5e-324,'
                     b'"large":1.7976931348623157e308,"minus":-0,"empty":[],"none":{},"":0}',
    "good-lists": b'{"layers":["attention","mamba"],"mixed":[1,"x",null,[2]],"numbers":[1,2.5]}',
    "good-key-twice": b'{"n":1,"n":"x"}',
    "good-deepest": b'{"a":' + b'{"a":' * 62 + b"[]" + b"}" * 63,
    "bad-nested": b'{"a":' * 70 + b"0" + b"}" * 70,
    "bad-empty": b"",
    "bad-list": b"[]",
    "bad-cut": b'{"a":[1,2',
    "bad-not-a-number": b'{"a":NaN}',
    "bad-minus-infinity": b'{"a":-Infinity}',
    "bad-number-too-large": b'{"a":1e999}',
    "bad-surrogate": b'{"a":"\\ud800"}',
    "bad-utf8": b'{"a":"\xc3\x28"}',
}

INDEXES = {
    "good-two": b'{"metadata":{"total_size":8},"weight_map":{"one":"one.safetensors","two":"two.safetensors"}}',
    "good-one": b'{"weight_map":{"x":"one.safetensors","y":"one.safetensors"}}',
    "bad-absent-shard": b'{"weight_map":{"one":"one.safetensors","w":"absent.safetensors"}}',
    "bad-cut-shard": b'{"weight_map":{"one":"one.safetensors","cut":"cut.safetensors"}}',
    "bad-folder-as-shard": b'{"weight_map":{"w":"folder"}}',
    "bad-path": b'{"weight_map":{"w":"../one.safetensors"}}',
    "bad-absolute-path": b'{"weight_map":{"w":"/dev/zero"}}',
    "bad-parent": b'{"weight_map":{"w":".."}}',
    "bad-zero-byte": f'{{"weight_map":{{"w":"one.safetensors{BACKSLASH_ZERO}x"}}}}'.encode(),
    "bad-long-name": b'{"weight_map":{"w":"' + b"n" * 300 + b'"}}',
    "bad-number-as-name": b'{"weight_map":{"w":3}}',
    "bad-no-map": b'{"metadata":{"total_size":8}}',
    "bad-map-is-list": b'{"weight_map":["one.safetensors"]}',
    "bad-empty-map": b'{"weight_map":{}}',
    "bad-nested": b'{"weight_map":' + b"[" * 70 + b"]" * 70 + b"}",
    "bad-empty": b"",
}


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "seeds")
    for target, files in {"safetensors_header": WEIGHTS, "model_config": CONFIGS, "shard_index": INDEXES}.items():
        shutil.rmtree(folder / target, ignore_errors=True)
        (folder / target).mkdir(parents=True)
        for name, content in files.items():
            (folder / target / name).write_bytes(content)


if __name__ == "__main__":
    main()
