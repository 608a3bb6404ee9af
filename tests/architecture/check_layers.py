"""Checks every include of memcap's layers, and the CMake targets, against the layer table of layers.py.

usage: check_layers.py [ROOT]      prints one line a violation; exit status 1 if there is any
"""

import re
import sys
from pathlib import Path

import layers

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.MULTILINE)
CMAKE_LAYER = re.compile(r"^\s*memcap_layer\(([^)]*)\)", re.MULTILINE)
CMAKE_KEYWORDS = ("TORCH", "SOURCE_FOLDER", "USES", "LINKS", "PRIVATE_LINKS")
SOURCE_SUFFIXES = (".cpp", ".hpp", ".h", ".cu", ".cuh")


def layer_of(path_in_layers):
    """The layer a path such as store/journal/frame.hpp belongs to; None where there is no such layer."""
    for layer, folder in layers.FOLDERS.items():
        if path_in_layers.startswith(folder + "/"):
            return layer
    first = path_in_layers.split("/")[0]
    return first if first in layers.MAY_USE else None


def source_files(root):
    """(file, layer, whether it is a public header) for each file of include/memcap and src."""
    for folder, public in ((root / "include" / "memcap", True), (root / "src", False)):
        for file in sorted(folder.rglob("*")):
            if file.suffix in SOURCE_SUFFIXES and file.is_file():
                path = file.relative_to(folder).as_posix()
                yield file, "app" if path in layers.MAINS else layer_of(path), public


def own_include_problem(layer, target, public, path):
    if target is None:
        return f"includes {path}, which belongs to no layer of the table"
    if target != layer and target not in layers.MAY_USE[layer]:
        allowed = ", ".join(layers.MAY_USE[layer]) or "no other layer"
        return f"includes {path}: layer {layer} may use {allowed}, not {target}"
    if not path.startswith("memcap/"):
        if public:
            return f"includes {path}: a public header may not need a file of src"
        if target != layer:
            return f"includes {path}: files of src/{target} are for {target} alone"
    return None


def third_party_problem(layer, is_header, path):
    if "/" not in path and "." not in path:
        return None  # the C++ standard library
    if path.startswith(layers.SYSTEM_HEADERS):
        return None
    matching = [entry for entry in layers.THIRD_PARTY if path.startswith(entry[1])]
    if not matching:
        return f"includes <{path}>, which is in no list of layers.py"
    library, _, in_sources, in_headers = matching[0]
    if is_header and layer not in in_headers:
        # Private headers of a layer are part of its sources, as long as the public ones stay clean.
        return f"includes <{path}>: {library} may not be seen in headers here"
    if layer not in in_sources:
        return f"includes <{path}>: layer {layer} may not use {library}"
    return None


def file_problems(root, file, layer, public):
    if layer is None:
        yield "belongs to no layer of the table"
        return
    for bracket, path in INCLUDE.findall(file.read_text(encoding="utf-8")):
        if path.startswith("memcap/"):
            problem = own_include_problem(layer, layer_of(path.removeprefix("memcap/")), public, path)
        elif bracket == '"':
            problem = own_include_problem(layer, layer_of(path), public, path)
        else:
            problem = third_party_problem(layer, public, path)
        if problem:
            yield problem


def cmake_layers(text):
    """Name -> (layers it uses, whether it has TORCH) of each memcap_layer call."""
    found = {}
    for words in (match.split() for match in CMAKE_LAYER.findall(text)):
        uses, torch, keyword = [], False, ""
        for word in words[1:]:
            if word in CMAKE_KEYWORDS:
                keyword = word
                torch = torch or word == "TORCH"
            elif keyword == "USES":
                uses.append(word)
        found[words[0]] = (uses, torch)
    return found


def cmake_problems(root):
    declared = cmake_layers((root / "CMakeLists.txt").read_text(encoding="utf-8"))
    for layer in layers.MAY_USE.keys() - declared.keys():
        yield f"no memcap_layer({layer} ...)"
    for layer, (uses, torch) in declared.items():
        if layer not in layers.MAY_USE:
            yield f"memcap_layer({layer} ...) is not in the layer table"
            continue
        for used in sorted(set(uses) - set(layers.MAY_USE[layer])):
            yield f"memcap_layer({layer} ...) uses {used}, which the layer table does not allow"
        if torch != (layer in layers.TORCH_LAYERS):
            yield f"memcap_layer({layer} ...): TORCH does not agree with the layer table"


def violations(root):
    """All violations under root, each as 'file: what is wrong'."""
    found = []
    for file, layer, public in source_files(root):
        found += [f"{file.relative_to(root)}: {problem}" for problem in file_problems(root, file, layer, public)]
    found += [f"CMakeLists.txt: {problem}" for problem in cmake_problems(root)]
    return found


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[2])
    found = violations(root)
    print("\n".join(found) if found else f"{sum(1 for _ in source_files(root))} files keep to the layers")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
