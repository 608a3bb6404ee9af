"""The deliberate errors still fit the sources: each can be planted in one place."""

import unittest

import mutations


class Mutations(unittest.TestCase):
    def test_each_text_stands_once_in_its_file(self):
        for name, (_, errors) in mutations.MUTATIONS.items():
            self.assertGreaterEqual(len(errors), 3, name)
            for what, file, text, replacement in errors:
                with self.subTest(f"{name}: {what}"):
                    source = (mutations.ROOT / mutations.source_of(file)).read_text(encoding="utf-8")
                    self.assertEqual(source.count(text), 1, text)
                    self.assertNotEqual(text, replacement)


if __name__ == "__main__":
    unittest.main()
