"""memcap bench: its numbers against formulas and numpy, what it keeps, and what memcap plan makes of it."""

import json
import statistics
import time
import unittest

import numpy as np
from support import MODELS, ROOT, USAGE, EndToEnd

QUICK = ("--seconds", "0.4", "--threads", "1")
INK = (MODELS / "ink-64", "--length", "16", *QUICK)
# By the formulas of include/memcap/plan/cost.hpp: 4 layers 64 wide, 1024 tokens, 213 568 parameters in the blocks.
INK_STEP = 4 * 213_568 * 16 + 7 * 16**2 * 64 * 4 + 4 * 1024 * 64 * 15
# docs/slot-memory.md: floats that a token keeps in 4 layers (2 heads, MLP 192) and the last norm.
INK_KEPT = 4 * (2 * 65 + 3 * 64 + 2 + 2 * 192) + 1


def numpy_flops_per_s(size=2048, products=3):
    """The best of a few square products in float32, with all of numpy's threads."""
    factor = np.random.default_rng(0).standard_normal((size, size), dtype=np.float32)
    elapsed_s = []
    for _ in range(products):
        start_s = time.perf_counter()
        factor @ factor
        elapsed_s.append(time.perf_counter() - start_s)
    return 2 * size**3 / min(elapsed_s)


class Bench(EndToEnd):
    def bench(self, *arguments, **keys):
        """What memcap bench --json says."""
        return json.loads(self.memcap("bench", *arguments, "--json", **keys).stdout)

    def kept(self):
        """The files in the cache."""
        return sorted((self.cache / "memcap" / "bench").glob("*"))

    def plan(self, *arguments, status=0, **changes):
        """What memcap plan --json says of a small experiment, and its messages."""
        done = self.memcap("plan", self.write(**changes), "--json", *arguments, status=status)
        return json.loads(done.stdout or "null"), done.stderr


class Numbers(Bench):
    def test_agree_with_each_other_and_with_the_formulas(self):
        start_s = time.monotonic()
        said = self.bench(*INK)
        wall_s = time.monotonic() - start_s
        [model] = said["models"]
        self.assertEqual((model["name"], model["length"], model["memory_vectors"], model["precision"]), ("ink-64", 16, 1, "float32"))
        self.assertEqual(model["flops_per_step"], INK_STEP)
        self.assertGreater(model["slots"], 1)
        self.assertFalse(model["slots_given"])
        self.assertEqual(model["trial_steps"] % model["slots"], 0, "all slots are full in every step")
        self.assertTrue(0.4 <= model["elapsed_s"] < wall_s, (model["elapsed_s"], wall_s))
        self.assertAlmostEqual(model["trial_steps_per_s"] * model["elapsed_s"] / model["trial_steps"], 1)
        self.assertAlmostEqual(model["flops_per_s"] / (INK_STEP * model["trial_steps_per_s"]), 1)
        self.assertAlmostEqual(model["fraction_of_peak"] * model["peak"]["best_flops_per_s"] / model["flops_per_s"], 1)
        self.assertAlmostEqual(model["fraction_of_median"] * model["peak"]["median_flops_per_s"] / model["flops_per_s"], 1)
        self.assertTrue(0 < model["fraction_of_peak"] < 1)
        self.assertGreaterEqual(len(model["turns"]), 2)
        self.assertEqual(max(turn["peak_flops_per_s"] for turn in model["turns"]), model["peak"]["best_flops_per_s"])
        speeds = [turn["flops_per_s"] for turn in model["turns"]]
        self.assertTrue(min(speeds) <= model["flops_per_s"] <= max(speeds))
        # Beside what is kept: gradients in hand, the first layer's part of each token, six copies of the memory.
        least, most = 4 * 16 * INK_KEPT, 4 * (16 * (INK_KEPT + 2 * (INK_KEPT // 4) + 4 * 64) + 6 * 64)
        self.assertTrue(least <= model["slot_bytes"] <= most, (least, model["slot_bytes"], most))

    def test_of_the_device_are_those_of_this_machine(self):
        said = self.bench(MODELS / "ink-64", "--length", "16", "--seconds", "0.4", "--threads", "2")
        [peak] = [peak for peak in said["peaks"] if peak["precision"] == "float32"]
        self.assertEqual({peak["precision"] for peak in said["peaks"]}, {"float32", "bfloat16", "float16", "tf32"})
        self.assertEqual(peak["size"], 2048)
        self.assertLessEqual(peak["median_flops_per_s"], peak["best_flops_per_s"])
        # Other tests and guests take their share of the machine, from one or from the other.
        self.assertTrue(1 / 4 < peak["best_flops_per_s"] / numpy_flops_per_s() < 4)
        self.assertLessEqual(said["copy"]["median_bytes_per_s"], said["copy"]["best_bytes_per_s"])
        self.assertTrue(1e9 < said["copy"]["best_bytes_per_s"] < 1e12)
        self.assertIn("thread", said["device"])

    def test_are_near_those_of_a_run(self):
        """The engine of memcap run, timed from outside: the same trials, but for start and end of the run."""
        bench = self.bench(MODELS / "ink-64", "--length", "12", "--slots", "6", *QUICK)["models"][0]
        steps = 600
        file = self.write(samples=6, max_steps=steps, memory_vectors=[1], lengths=[12], run={"threads": 1, "slots": 6},
                          store={"vectors": False, "curve_every": 0},
                          protocols={"endless": {"base": "paper", "max_steps": steps, "patience": steps, "stop_accuracy": 1}})
        times = []
        for out in ("a", "b", "c"):
            start_s = time.monotonic()
            self.run_experiment(file, out)
            times.append(time.monotonic() - start_s)
        rate = 6 * steps / statistics.median(times)
        self.assertTrue(1 / 6 < rate / bench["trial_steps_per_s"] < 2, (rate, bench["trial_steps_per_s"]))


class Request(Bench):
    def test_of_several_models_and_options_is_followed(self):
        said = self.bench(MODELS / "ink-64", MODELS / "ink-128-mamba", "--length", "8", "--memory-vectors", "3", "--slots", "3",
                          "--precision", "bfloat16", *QUICK)
        self.assertEqual([model["name"] for model in said["models"]], ["ink-64", "ink-128-mamba"])
        for model in said["models"]:
            self.assertEqual((model["length"], model["memory_vectors"], model["slots"], model["precision"], model["peak"]["precision"]),
                             (8, 3, 3, "bfloat16", "bfloat16"))
            self.assertTrue(model["slots_given"])
        self.assertEqual([model["scans"] for model in said["models"]], [False, True])

    def test_of_a_shape_needs_no_folder(self):
        said = self.bench("--shape", "pythia-160m", "--length", "2", "--slots", "1", "--seconds", "0.1")
        [model] = said["models"]
        # experiments/paper/models/README.md counts 162 322 944 parameters: embedding, head, and the rest in the blocks.
        head = 50_304 * 768
        blocks = 162_322_944 - 2 * head
        self.assertEqual(model["flops_per_step"], 4 * blocks * 2 + 7 * 2**2 * 768 * 12 + 4 * head * 1)
        self.assertEqual(model["family"], "gpt_neox")

    def test_is_answered_in_words(self):
        done = self.memcap("bench", *INK)
        for expected in ("copy", "GB/s", "float32 product of 2048", "FLOP/s", "at best", "ink-64", "trial steps/s", "%",
                         "slot: memory of one trial"):
            self.assertIn(expected, done.stdout)
        self.assertIn(str(self.cache), done.stderr)

    def test_that_cannot_be_followed_ends_with_a_reason_and_keeps_nothing(self):
        for arguments, expected in ((["--shape", "pythia-161m"], "pythia-160m, pythia-1.4b"), (["nowhere"], "nowhere"),
                                    (["--shape", "pythia-160m,"], "there is no shape ''"), (["--slots", "0"], "--slots 0"),
                                    (["--length", "few"], "few"), (["--length", "1"], "nothing to score"), (["--seconds", "nan"], "nan"),
                                    (["--seconds", "-1"], "--seconds -1"), (["--precision", "fp8"], "float32, bfloat16"),
                                    (["--device", "tpu"], "auto, cpu, cuda"), (["--threads", "-2"], "--threads -2"),
                                    (["--threads", "4097"], "4096 at most"), (["--slots", "65537"], "65536 at most"),
                                    ([MODELS / "ink-192", "--slots", "65536", "--length", "500"], "Give fewer --slots or a smaller --length"),
                                    ([MODELS / "ink-64", "--length", "512", "--memory-vectors", "2"], "512 positions")):
            with self.subTest(arguments):
                self.assertIn(expected, self.memcap("bench", *arguments, status=USAGE).stderr)
        self.assertEqual(self.kept(), [])

    def test_is_answered_where_nothing_can_be_kept(self):
        (self.cache / "memcap").write_text("a file, not a folder", encoding="utf-8")
        done = self.memcap("bench", *INK, "--json")
        self.assertEqual(len(json.loads(done.stdout)["models"]), 1)
        self.assertIn("warning: not kept for memcap plan", done.stderr)


class Plan(Bench):
    """All with one result, each in a cache of its own."""

    result = None

    def setUp(self):
        super().setUp()
        if Plan.result is None:
            said = self.bench(*INK)
            [file] = self.kept()
            Plan.result = said, file.name, file.read_text(encoding="utf-8")
            file.unlink()

    def keep_result(self):
        """As after memcap bench; what it said."""
        said, name, text = Plan.result
        file = self.cache / "memcap" / "bench" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return said

    def test_takes_its_hours_from_the_kept_result(self):
        model = self.keep_result()["models"][0]
        plan, _ = self.plan(lengths=[16], memory_vectors=[1])
        [footprint] = plan["footprints"]
        self.assertAlmostEqual(footprint["max_hours"] * 3600 * model["flops_per_s"] / footprint["max_flops"], 1)
        for expected in ("memcap bench", model["measured_utc"], "ink-64", "N = 16", f"{model['slots']} slots"):
            self.assertIn(expected, footprint["hours_basis"])
        self.assertIn(footprint["hours_basis"], self.memcap("plan", self.folder / "e2e.yaml").stdout)

    def test_compares_slots_that_are_chosen_alike(self):
        full = self.keep_result()["models"][0]
        [file] = self.kept()
        result = json.loads(file.read_text(encoding="utf-8"))
        # As after a later memcap bench --slots 1.
        alone = {**full, "slots": 1, "slots_given": True, "elapsed_s": 20 * full["elapsed_s"], "measured_utc": "2099-01-01T00:00:00Z"}
        size = {"lengths": [16], "memory_vectors": [1]}
        models = ROOT / "experiments" / "paper" / "models"
        for kept, slots, expected in (([full, alone], None, full["measured_utc"]), ([full, alone], 1, "2099-01-01"), ([full], 1, "timed now"),
                                      ([alone], None, "timed now")):
            with self.subTest(kept=len(kept), slots=slots):
                file.write_text(json.dumps({**result, "models": kept}), encoding="utf-8")
                plan, _ = self.plan(**size, run={"threads": 1, **({"slots": slots} if slots else {})})
                self.assertIn(expected, plan["footprints"][0]["hours_basis"])
        plan, _ = self.plan("--bench", file, **size)
        self.assertIn("run memcap bench without --slots", plan["footprints"][0]["hours_basis"])
        plan, _ = self.plan(models={"pythia": {"path": str(models / "pythia-160m")}})
        self.assertIn("H200", plan["device"])

    def test_counts_weights_in_the_type_that_the_device_holds(self):
        """No CPU multiplies float16: it holds the rounded values in float32, a GPU in 16 bits."""
        said = self.keep_result()
        elsewhere = self.folder / "gpu.json"
        elsewhere.write_text(json.dumps({**said, "kind": "cuda", "peaks": [{**peak, "value_bytes": 2} for peak in said["peaks"]]}),
                             encoding="utf-8")
        [file] = self.kept()
        for arguments, width in (((), 4), (("--bench", file), 4), (("--bench", elsewhere), 2)):
            with self.subTest(arguments):
                plan, _ = self.plan(*arguments, lengths=[16], memory_vectors=[1], precision="float16")
                self.assertEqual(plan["footprints"][0]["weights_bytes"], (213_568 + 2 * 1024 * 64) * width)

    def test_times_a_model_that_is_unlike_what_was_measured(self):
        self.keep_result()
        plan, _ = self.plan(models={"ink-128-mamba": {"path": str(MODELS / "ink-128-mamba")}})
        self.assertIn("timed now", plan["footprints"][0]["hours_basis"])
        plan, _ = self.plan("--bench", "none", lengths=[16], memory_vectors=[1])
        self.assertIn("timed now", plan["footprints"][0]["hours_basis"])

    def test_takes_no_result_of_another_number_of_threads(self):
        self.keep_result()
        plan, _ = self.plan(lengths=[16], memory_vectors=[1], run={"threads": 2})
        self.assertIn("timed now", plan["footprints"][0]["hours_basis"])

    def test_foresees_models_that_are_not_here_by_the_nearest_result(self):
        models = ROOT / "experiments" / "paper" / "models"
        absent = {"models": {"pythia": {"path": str(models / "pythia-160m")}}, "precision": "bfloat16"}
        plan, _ = self.plan(**absent)
        self.assertIn("H200", plan["device"])
        self.assertIn("nothing measured", plan["footprints"][0]["hours_basis"])
        self.assertEqual(plan["footprints"][0]["slots"], 1024, "as many as are ever taken on a GPU")
        said = self.keep_result()
        plan, _ = self.plan(**absent)
        self.assertEqual(plan["device"], said["device"])
        [footprint] = plan["footprints"]
        self.assertIn("nothing nearer was measured", footprint["hours_basis"])
        [peak] = [peak for peak in said["peaks"] if peak["precision"] == "bfloat16"]
        expected = footprint["max_flops"] / (said["models"][0]["fraction_of_peak"] * peak["best_flops_per_s"]) / 3600
        self.assertAlmostEqual(footprint["max_hours"] / expected, 1)

    def test_is_for_the_device_of_the_result_that_is_named(self):
        result = self.keep_result()
        [file] = self.kept()
        elsewhere = self.folder / "h200.json"
        text = file.read_text(encoding="utf-8").replace(result["device"], "NVIDIA H200").replace(result["host"], "node7")
        elsewhere.write_text(text, encoding="utf-8")
        file.unlink()
        plan, _ = self.plan("--bench", elsewhere, lengths=[16], memory_vectors=[1])
        self.assertEqual(plan["device"], "NVIDIA H200 (measured on node7)")
        self.assertIn(result["models"][0]["measured_utc"], plan["footprints"][0]["hours_basis"])

    def test_counts_the_memory_and_the_most_slots_of_the_device_that_was_measured(self):
        said = self.keep_result()
        elsewhere = self.folder / "gpu.json"
        gpu_logits = 268_435_456 * 4

        def slots(kind, memory, **run):
            document = {**said, "kind": kind, "memory_bytes": memory}
            if not kind:
                document |= {"peaks": [{**peak, "size": 8192} for peak in said["peaks"]]}
                del document["kind"]
            elsewhere.write_text(json.dumps(document), encoding="utf-8")
            [footprint] = self.plan("--bench", elsewhere, lengths=[16], memory_vectors=[1], run=run)[0]["footprints"]
            beside = footprint["weights_bytes"] + (0 if kind == "cpu" else gpu_logits)
            return footprint["slots"], max(0, (memory // 10 * 9 - beside) // footprint["slot_bytes"])

        self.assertEqual(said["kind"], "cpu")
        # Too little even for the logits of a GPU; room for a few slots beside them.
        for memory, fits in ((1_190_000_000, False), (1_200_000_000, True)):
            for kind in ("cuda", ""):
                with self.subTest(kind=kind, memory=memory):
                    taken, room = slots(kind, memory)
                    self.assertEqual((taken, taken > 0), (room, fits))
        for kind, most in (("cpu", 128), ("cuda", 1024)):
            with self.subTest(kind=kind):
                self.assertEqual(slots(kind, 10**12)[0], most)
                self.assertEqual(slots(kind, 10**12, slots=2000)[0], 2000)

    def test_passes_over_a_damaged_result_with_a_warning(self):
        self.keep_result()
        [file] = self.kept()
        file.write_text(file.read_text(encoding="utf-8")[:200], encoding="utf-8")
        plan, messages = self.plan(lengths=[16], memory_vectors=[1])
        self.assertIn("timed now", plan["footprints"][0]["hours_basis"])
        self.assertIn(f"warning: ignored: {file}", messages)
        _, messages = self.plan("--bench", file, status=USAGE)
        self.assertIn(str(file), messages)
        # The file may be anybody's, for instance an experiment.
        self.assertNotIn("elete", messages)
        self.bench(*INK)
        self.assertEqual(self.kept(), [file])
        plan, messages = self.plan(lengths=[16], memory_vectors=[1])
        self.assertIn("memcap bench", plan["footprints"][0]["hours_basis"])
        self.assertNotIn("ignored", messages)


if __name__ == "__main__":
    unittest.main()
