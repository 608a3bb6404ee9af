"""Copies of a model folder, and the ways to damage them."""

import json
import shutil
import struct

from support import MODELS

HEADER_LENGTH_BYTES = 8


def copy_model(folder, name="damaged"):
    """A copy of the smallest shipped model to do things to."""
    copy = folder / name
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(MODELS / "ink-64", copy)
    return copy


def read_weights(model):
    """The header and the data of model.safetensors."""
    content = (model / "model.safetensors").read_bytes()
    length = struct.unpack("<Q", content[:HEADER_LENGTH_BYTES])[0]
    header = json.loads(content[HEADER_LENGTH_BYTES:HEADER_LENGTH_BYTES + length])
    return header, bytearray(content[HEADER_LENGTH_BYTES + length:])


def write_weights(model, header, data):
    """Writes model.safetensors from a header, right or wrong, and data."""
    text = json.dumps(header).encode()
    (model / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(data))


def change_header(model, change):
    """Puts a changed header before unchanged data."""
    header, data = read_weights(model)
    change(header)
    write_weights(model, header, data)


def add_tensors(model, *names):
    """Adds tensors of one bf16 zero behind the others."""
    header, data = read_weights(model)
    for name in names:
        header[name] = {"dtype": "BF16", "shape": [1], "data_offsets": [len(data), len(data) + 2]}
        data += bytes(2)
    write_weights(model, header, data)


def change_config(model, **changes):
    """Changes keys of config.json; a value of None takes the key away."""
    file = model / "config.json"
    config = json.loads(file.read_text(encoding="utf-8")) | changes
    file.write_text(json.dumps({key: value for key, value in config.items() if value is not None}), encoding="utf-8")


def set_first_value(model, tensor, bits):
    """Overwrites the first bf16 value of a tensor."""
    header, data = read_weights(model)
    begin = header[tensor]["data_offsets"][0]
    data[begin:begin + 2] = struct.pack("<H", bits)
    write_weights(model, header, data)


def shrink_vocabulary(model, entries):
    """Takes the last rows of the embedding away, in the weights and in config.json alike."""
    header, data = read_weights(model)
    embedding = header["model.embed_tokens.weight"]
    assert embedding["data_offsets"][0] == 0, "the embedding comes first in this file"
    width, old_bytes = embedding["shape"][1], embedding["data_offsets"][1]
    new_bytes = entries * width * 2
    embedding.update(shape=[entries, width], data_offsets=[0, new_bytes])
    for name, tensor in header.items():
        if name not in ("__metadata__", "model.embed_tokens.weight"):
            tensor["data_offsets"] = [offset - old_bytes + new_bytes for offset in tensor["data_offsets"]]
    write_weights(model, header, data[:new_bytes] + data[old_bytes:])
    change_config(model, vocab_size=entries)
