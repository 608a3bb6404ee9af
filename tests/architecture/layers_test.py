"""check_layers.py finds each kind of planted violation, and nothing in a clean tree."""

import shutil
import tempfile
import unittest
from pathlib import Path

import check_layers

ROOT = Path(__file__).parents[2]


class LayerCheck(unittest.TestCase):
    def setUp(self):
        self.root = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.root)
        self.cmake_text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
        self.write("CMakeLists.txt", self.cmake_text)
        self.write("include/memcap/base/errors.hpp", "#include <string>\n")
        self.write("src/store/snapshot.cpp", '#include <hdf5.h>\n#include "memcap/record/trial_record.hpp"\n')
        self.write("src/nn/rotary.cpp", '#include <ATen/ATen.h>\n#include "nn/detail/tables.hpp"\n')

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def assert_only_violation(self, path, text, *parts):
        self.write(path, text)
        found = check_layers.violations(self.root)
        self.assertEqual(len(found), 1, found)
        for part in (path, *parts):
            self.assertIn(part, found[0])

    def test_accepts_a_clean_tree(self):
        self.assertEqual(check_layers.violations(self.root), [])

    def test_names_an_include_of_a_layer_that_is_not_allowed(self):
        self.assert_only_violation("src/sched/scheduler.cpp", '#include "memcap/store/journal/journal.hpp"\n',
                                   "layer sched may use base, not journal")

    def test_names_an_include_in_angle_brackets_too(self):
        self.assert_only_violation("include/memcap/hub/index.hpp", "#include <memcap/nn/norm.hpp>\n",
                                   "layer hub may use base, not nn")

    def test_names_an_indented_include_after_code(self):
        self.assert_only_violation("src/plan/expand.cpp", 'int x;\n  #  include "memcap/text/client.hpp"\n', "not text")

    def test_keeps_the_journal_apart_from_hdf5_and_the_rest_of_store(self):
        self.assert_only_violation("src/store/journal/writer.cpp", "#include <hdf5.h>\n", "may not use HDF5")
        self.assert_only_violation("src/store/journal/writer.cpp", '#include "memcap/store/snapshot.hpp"\n',
                                   "layer journal may use base, record, not store")

    def test_names_third_party_includes_outside_their_layer(self):
        for path, include in (("src/sched/a.cpp", "mpi.h"), ("src/hub/a.cpp", "ATen/ATen.h"),
                              ("src/plan/a.cpp", "yaml-cpp/yaml.h"), ("src/metrics/a.cpp", "nlohmann/json.hpp"),
                              ("src/config/a.cpp", "openssl/evp.h"), ("src/app/a.cpp", "H5Cpp.h")):
            with self.subTest(include):
                self.assert_only_violation(path, f"#include <{include}>\n", f"<{include}>", "may not use")
                (self.root / path).unlink()

    def test_names_third_party_types_in_headers_of_torch_free_layers(self):
        self.assert_only_violation("include/memcap/config/load.hpp", "#include <yaml-cpp/yaml.h>\n", "headers")
        self.assert_only_violation("include/memcap/config/load.hpp", "#include <fmt/format.h>\n", "headers")

    def test_names_wide_torch_headers_in_public_headers(self):
        self.assert_only_violation("include/memcap/nn/norm.hpp", "#include <ATen/ATen.h>\n", "headers")
        self.write("include/memcap/nn/norm.hpp", "#include <ATen/core/Tensor.h>\n")
        self.assertEqual(check_layers.violations(self.root), [])

    def test_names_a_private_header_of_another_layer(self):
        self.assert_only_violation("src/models/registry.cpp", '#include "hub/detail/mapped_file.hpp"\n',
                                   "for hub alone")

    def test_names_a_library_that_no_list_knows(self):
        self.assert_only_violation("src/base/log.cpp", "#include <absl/strings/str_cat.h>\n", "in no list")

    def test_names_a_file_outside_the_layers(self):
        self.assert_only_violation("src/utils/strings.cpp", "", "belongs to no layer")

    def test_names_cmake_targets_that_disagree_with_the_table(self):
        for old, new, part in (("memcap_layer(sched USES base)", "memcap_layer(sched USES base record)", "uses record"),
                               ("memcap_layer(sched USES base)", "", "no memcap_layer(sched"),
                               ("memcap_layer(nn USES base hub TORCH)", "memcap_layer(nn USES base hub)", "TORCH")):
            with self.subTest(new):
                self.assertIn(old, self.cmake_text)
                self.assert_only_violation("CMakeLists.txt", self.cmake_text.replace(old, new), part)


if __name__ == "__main__":
    unittest.main()
