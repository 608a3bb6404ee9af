"""The page: says what the data say, stands alone, and refuses what it cannot read."""

import contextlib
import dataclasses
import html
import io
import re
import subprocess
import sys
import unittest
from pathlib import Path
from unittest import mock

from support import MODELS, REPOSITORY, FolderTest, frame, trial

import h5py
import numpy as np
import pandas as pd

from make_results import SMALL_MODELS, Plan, large_plan, write
from memcap_analysis import prose, report, tables
from memcap_analysis.results import Results, load
from memcap_analysis.statistics import recompute_statistics


SMALL = Plan(models=SMALL_MODELS[:2], memory_vectors=(1, 4), samples=4, failed_share=0.1)


def results_of(trials: pd.DataFrame, models=MODELS, corpora=None, open_trials=None) -> Results:
    trials = trials.assign(source=0, source_row=np.arange(len(trials)))
    corpora = pd.DataFrame() if corpora is None else corpora
    empty = pd.DataFrame()
    return Results([], [{"experiment": "hand"}], trials, empty, recompute_statistics(trials, models, corpora, open_trials), models,
                   corpora, empty, empty, [""])


def plain(page: str) -> str:
    """The text that a reader sees, spaces made single."""
    page = re.sub(r"<style>.*?</style>|<svg.*?</svg>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


class Headline(unittest.TestCase):
    def sentences(self, results: Results) -> str:
        return " ".join(prose.headline(results, results.statistics, tables.settings(results.trials)[0]))

    def test_best_capacity_and_one_vector(self):
        text = self.sentences(results_of(frame(trial(17, 16, memory_vectors=4), trial(33, 9, memory_vectors=4), trial(17, 8),
                                               trial(5, 4))))
        self.assertIn("m keeps up to 17 tokens in 4 vectors, all of them right in every text.", text)
        self.assertIn("m keeps up to 5 tokens in one vector.", text)

    def test_a_cut_grid_gives_a_lower_bound(self):
        text = self.sentences(results_of(frame(trial(5, 4), trial(17, 16))))
        self.assertIn("keeps at least 17 tokens in one vector", text)
        self.assertIn("The longest texts tried are still kept: that capacity is a lower bound", text)

    def test_nothing_solved(self):
        text = self.sentences(results_of(frame(trial(17, 3, loss_nomem=4, loss_min=3))))
        self.assertIn("No model reached an accuracy of 0.99", text)
        self.assertIn("17.0 nats (24.5 bits, a single trial)", text)

    def test_inexact_capacity_is_said(self):
        text = self.sentences(results_of(frame(trial(5, 4), trial(101, 99), trial(201, 9))))
        self.assertIn("up to 101 tokens in one vector (5 tokens without a single error in any text)", text)

    def test_models_that_share_the_best_capacity_are_all_named(self):
        models = pd.DataFrame([{"name": name, "memory_width": width, "vocabulary_size": 1024, "parameters": 1}
                               for name, width in (("a", 64), ("b", 128), ("c", 32))])
        text = self.sentences(results_of(frame(*(trial(17, 16, model=name) for name in "abc"),
                                               *(trial(33, 2, model=name) for name in "ab")), models))
        self.assertIn("a, b and c each keep up to 17 tokens in one vector", text)

    def test_of_a_run_that_goes_on_nothing_is_said_to_fail(self):
        open_cells = pd.DataFrame([{"model": "m", "corpus": "c", "memory_vectors": 1, "prefix": 0, "protocol": "paper",
                                    "precision": "float32", "open": 3}])
        text = self.sentences(results_of(frame(trial(17, 3)), open_trials=open_cells))
        self.assertIn("No capacity is known yet: 3 trials", text)
        self.assertNotIn("No model reached", text)
        text = self.sentences(results_of(frame(trial(17, 3), trial(17, 16, memory_vectors=4)), open_trials=open_cells))
        self.assertIn("m keeps at least 17 tokens in 4 vectors", text)
        self.assertIn("In 1 of 2 combinations of model and number of vectors trials are still open", text)
        text = self.sentences(results_of(frame(trial(17, 3), trial(17, 3, memory_vectors=4)), open_trials=open_cells))
        self.assertIn("None of the finished combinations", text)

    def test_of_a_single_text_says_so(self):
        several_seeds = frame(trial(17, 16), trial(33, 16)).assign(sample=0)
        text = self.sentences(results_of(several_seeds))
        self.assertIn("keeps up to 17 tokens in one vector, all of them right in every text; one text alone was tried.", text)
        self.assertNotIn("one text alone", self.sentences(results_of(frame(trial(17, 16), trial(33, 16)))))

    def test_counts_open_trials_where_nothing_has_ended_yet(self):
        cells = [{"model": model, "corpus": corpus, "memory_vectors": k, "prefix": 0, "protocol": "paper", "precision": "float32",
                  "open": 5} for model, corpus, k in (("m", "c", 1), ("m", "c", 4), ("n", "c", 1), ("m", "d", 1))]
        results = results_of(frame(trial(17, 3)), open_trials=pd.DataFrame(cells))
        self.assertEqual(results.statistics["open"].sum(), 20)
        self.assertIn("No capacity is known yet: 15 trials", self.sentences(results))
        settings = tables.settings(results.trials, results.statistics)
        self.assertEqual([setting.corpus for setting in settings], ["c", "d"])
        order = tables.model_order(results, results.statistics)
        matrix = tables.capacity_matrix(settings[0].of(results.statistics), order)
        self.assertEqual(matrix.values.tolist(), [["m", "–", "–"], ["n", "–", "–"]])
        text = plain(report.build_page(results))
        for expected in ("0 (5 open)", "5 trials of these combinations", "No trial has ended yet."):
            self.assertIn(expected, text)

    def test_a_mean_of_one_trial_is_marked(self):
        text = self.sentences(results_of(frame(trial(17, 3, loss_nomem=4, loss_min=3))))
        self.assertIn("17.0 nats (24.5 bits, a single trial) in", text)

    def test_all_failed(self):
        self.assertEqual(self.sentences(results_of(frame(trial(5, 0, status="failed")))), "No trial has a result.")

    def test_the_smaller_number_of_vectors_wins_a_tie(self):
        text = self.sentences(results_of(frame(trial(17, 16, memory_vectors=4), trial(17, 16, memory_vectors=2))))
        self.assertIn("17 tokens in 2 vectors", text)


class Tables(unittest.TestCase):
    def test_capacity_matrix(self):
        results = results_of(frame(trial(5, 4), trial(9, 2), trial(9, 8, memory_vectors=4)))
        matrix = tables.capacity_matrix(results.statistics, ["m"])
        self.assertEqual(matrix.values.tolist(), [["m", "5", "≥ 9"]])
        self.assertEqual(list(matrix.columns), ["Model", "K = 1", "K = 4"])

    def test_what_is_not_known_is_a_dash(self):
        results = results_of(frame(trial(5, 0, status="failed"), trial(9, 2, memory_vectors=4)))
        self.assertEqual(tables.capacity_matrix(results.statistics, ["m"]).values.tolist(), [["m", "–", "0"]])
        row = tables.capacity_table(results.statistics, ["m"]).iloc[0]
        self.assertEqual((row["Capacity, tokens"], row["All exact, tokens"], row["Trials"]), ("–", "–", "1 (1 failed)"))
        results.statistics.loc[:, "open"] = [0, 2]
        results.statistics.loc[:, "capacity_tokens"] = [0, -1]
        row = tables.capacity_table(results.statistics, ["m"]).iloc[1]
        self.assertEqual((row["Capacity, tokens"], row["Trials"]), ("–", "1 (2 open)"))

    def test_values_of_one_trial_are_marked(self):
        one = frame(trial(11, 3, loss_nomem=4, loss_min=3), trial(5, 4), trial(11, 3, memory_vectors=4),
                    trial(11, 4, memory_vectors=4))
        results = results_of(one)
        rows = tables.capacity_table(results.statistics, ["m"], one)
        self.assertEqual(rows["Information gain, nats"].iloc[0], "11.0 (n = 1)")
        self.assertEqual([text.endswith("(n = 1)") for text in rows["Slope-1 offset, nats"]], [True, False])

    def test_times_of_trials_side_by_side_are_not_added_up(self):
        self.assertFalse([column for column in tables.endings_table(frame(trial(5, 4)), ["m"]) if "ime" in column])

    def test_nats_and_bits(self):
        results = results_of(frame(trial(11, 3, loss_nomem=4, loss_min=3), trial(11, 3, loss_nomem=4, loss_min=2)))
        row = tables.capacity_table(results.statistics, ["m"]).iloc[0]
        self.assertEqual(row["Information gain, nats"], "16.5 ± 7.8")
        self.assertEqual(row["in bits"], f"{16.5 / np.log(2):.1f} ± {11 / np.sqrt(2) / np.log(2):.1f}")

    def test_models_stand_in_order_of_size(self):
        models = pd.DataFrame([{"name": "big", "parameters": 10**9, "memory_width": 64, "vocabulary_size": 1024},
                               {"name": "small", "parameters": 10**6, "memory_width": 64, "vocabulary_size": 1024}])
        trials = frame(trial(5, 4, model="big"), trial(5, 4, model="small"))
        self.assertEqual(tables.model_order(results_of(trials, models)), ["small", "big"])

    def test_the_papers_numbers_stand_beside_its_models_only(self):
        models = pd.DataFrame([{"name": "Llama-3.2-1B", "parameters": 1, "memory_width": 2048, "vocabulary_size": 128256},
                               {"name": "pythia-160m", "parameters": 1, "memory_width": 64, "vocabulary_size": 50304},
                               {"name": "ink-64", "parameters": 1, "memory_width": 64, "vocabulary_size": 1024}])
        one = {"model": "Llama-3.2-1B", "corpus": "pg19"}
        trials = frame(trial(9, 8, **one), trial(17, 8, **one), trial(9, 8, **one | {"protocol": "hot"}),
                       trial(9, 8, **one | {"memory_vectors": 2}), trial(9, 8, **one | {"corpus": "essays"}),
                       trial(9, 8, model="pythia-160m", corpus="pg19"), trial(9, 8, model="ink-64", corpus="pg19"))
        results = results_of(trials, models)
        shown = tables.paper_comparison(results, results.statistics)
        self.assertEqual(shown[["Model", "K", "Capacity", "paper's"]].values.tolist(),
                         [["Llama-3.2-1B", "1", "9", "512"], ["Llama-3.2-1B", "2", "≥ 9", "1,024"]])
        self.assertEqual(shown["paper's "].iloc[0], "426.2 ± 79.2")

    def test_a_model_that_takes_any_length_has_no_context_limit(self):
        models = pd.DataFrame({"name": ["short", "any"], "context_tokens": [2048, 0]})
        shown = tables.models_table(models, ["short", "any"])
        self.assertEqual(list(shown["Context, tokens"]), ["2,048", "no limit"])

    def test_labels_name_only_what_varies(self):
        self.assertEqual([s.label for s in tables.settings(frame(trial(5, 4)))], ["c"])
        both = frame(trial(5, 4), trial(5, 4, protocol="hot", prefix=64))
        self.assertEqual([s.label for s in tables.settings(both)],
                         ["c, no prefix, protocol paper", "c, prefix of 64 tokens, protocol hot"])

    def test_failures_are_grouped_by_message(self):
        bad = {"status": "failed", "failure": "permanent: loss is not a number"}
        table = tables.failures_table(frame(trial(5, 0, **bad), trial(9, 0, **bad), trial(5, 0, model="n", **bad)))
        self.assertEqual(table[["Model", "Trials", "Lengths"]].values.tolist(), [["m", "2", "5, 9"], ["n", "1", "5"]])


class Duration(FolderTest):
    def test_a_launch_that_never_ended_counts_to_its_last_trial(self):
        results = load(write(self.folder, Plan()))
        results.trials["finished_utc"] = "2025-01-02T03:01:00Z"
        self.assertEqual(prose.run_seconds(results), 150)
        results.trials.loc[0, "finished_utc"] = "2025-01-02T03:10:40Z"
        self.assertEqual(prose.run_seconds(results), 190)

    def test_of_the_ranks_is_that_of_the_launches_times_their_number(self):
        facts = dict(prose.run_facts(load(write(self.folder, Plan()))))
        self.assertEqual((facts["Duration"], facts["Time of all ranks"]), ("2 min 30 s", "5 min 0 s"))
        self.assertNotIn("Time in trials", facts)

    def test_in_words(self):
        self.assertEqual([tables.duration(s) for s in (0.25, 8, 200, 18_720)], ["0.25 s", "8 s", "3 min 20 s", "5 h 12 min"])


class Page(FolderTest):
    built = None

    def page(self, plan: Plan | None = None) -> tuple[Results, str]:
        """Results and page of a plan; those of the small plan are made once for all tests."""
        if plan is None and Page.built is not None:
            return Page.built
        results = load(write(self.folder, plan or SMALL))
        made = results, report.build_page(results)
        if plan is None:
            Page.built = made
        return made

    def test_says_what_was_run_and_found(self):
        results, page = self.page()
        text = plain(page)
        for row in results.statistics.to_dict("records"):
            self.assertIn(tables.capacity_text(row), text)
        for part in ("quickstart", f"{len(results.done()):,} done, {len(results.failed()):,} failed", "node0, node1",
                     "0123abcd", "2.11.0", "loss is not a number at evaluation 17", "more memory vectors than tokens",
                     "Decoding accuracy by length", "Decoding accuracy at drawn lengths", "Cross-entropy before and after",
                     "Information gain by model", "Learning curves", "ink-64: {path: models/ink-64}",
                     "agree with a recomputation"):
            self.assertIn(part, text)
        setting = tables.settings(results.trials)[0]
        self.assertIn(prose.headline(results, results.statistics, setting)[0], text)

    def test_stands_alone(self):
        _, page = self.page()
        self.assertEqual(set(re.findall(r"https?://[^\"'\s)]+", page)), {"http://www.w3.org/1999/xlink"})
        self.assertNotRegex(page, r"<script|<link|@import|<img|url\((?!#)")

    def test_every_reference_within_finds_exactly_one_target(self):
        _, page = self.page()
        targets = re.findall(r'\bid="([^"]+)"', page)
        self.assertEqual(len(targets), len(set(targets)))
        references = set(re.findall(r'href="#([^"]+)"', page)) | set(re.findall(r"url\(#([^)]+)\)", page))
        self.assertGreater(len(references), 20)
        self.assertLessEqual(references, set(targets))

    def test_a_dark_page_has_colours_for_every_figure_role(self):
        _, page = self.page()
        light, dark = re.search(r":root \{ (--fig.*?) \}.*?:root \{ (--fig.*?) \}", page, re.DOTALL).groups()
        names = [set(re.findall(r"(--fig-\w+):", part)) for part in (light, dark)]
        self.assertEqual(names[0], names[1])
        self.assertLessEqual(set(re.findall(r"var\((--fig-\w+)\)", page)), names[0])
        self.assertEqual(set(re.findall(r"<svg.*?(#[0-9a-f]{6})\b", page, re.DOTALL)), set())

    def test_names_from_the_file_are_text_never_markup(self):
        results = load(write(self.folder, SMALL))
        results.trials.loc[results.trials["status"] == "failed", "failure"] = "<script>alert(1)</script>"
        page = report.build_page(results)
        self.assertNotIn("<script", page)
        self.assertIn("&lt;script&gt;", page)

    def test_is_the_same_each_time(self):
        _, page = self.page()
        self.assertEqual(re.sub(r"<code>.*?</code>", "", page),
                         re.sub(r"<code>.*?</code>", "", report.build_page(load(write(self.folder, SMALL)))))

    def test_wrong_statistics_are_told_and_replaced(self):
        path = write(self.folder, SMALL)
        with h5py.File(path, "a") as file:
            file["statistics/capacity_tokens"][0] = 9999
        text = plain(report.build_page(load(path)))
        self.assertIn("Warning: 1 statistics of the file differ", text)
        self.assertNotIn("9,999", text)

    def test_a_file_with_trials_alone_is_enough(self):
        path = write(self.folder, SMALL)
        with h5py.File(path, "a") as file:
            for name in ("skipped", "statistics", "models", "corpora", "protocols", "provenance", "curves"):
                del file[name]
        self.assertIn("the file has no statistics", plain(report.build_page(load(path))))

    def test_only_failed_trials(self):
        self.assertIn("No trial has a result.", plain(self.page(dataclasses.replace(SMALL, failed_share=1.0))[1]))

    def test_a_single_trial(self):
        plan = Plan(models=Plan().models[:1], random_words=False, memory_vectors=(1,), lengths=(8,), samples=1, failed_share=0)
        self.assertIn("1 trial, none failed", plain(self.page(plan)[1]))

    def test_too_many_panels_are_counted_not_drawn(self):
        with mock.patch.object(report, "MAX_PANELS", 4), mock.patch.object(report, "OPEN_PANELS", 2):
            _, page = self.page(dataclasses.replace(SMALL, models=SMALL_MODELS, protocols=("paper", "hot"),
                                                     random_words=False))
        self.assertIn("2 further panels are left out", plain(page))
        self.assertRegex(page, r"<details><summary>essays, protocol hot \(1 panel\)")

    def test_a_sweep_of_the_papers_size_stays_below_five_megabytes(self):
        _, page = self.page(dataclasses.replace(large_plan(), samples=3))
        self.assertLess(len(page.encode()), 5_000_000)
        self.assertIn("Beside the published numbers", plain(page))


class Command(FolderTest):
    def run_main(self, *arguments) -> tuple[int, str, str]:
        out, error = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            try:
                status = report.main([str(argument) for argument in arguments])
            except SystemExit as stop:
                status = stop.code
        return status, out.getvalue(), error.getvalue()

    def test_writes_beside_the_results(self):
        write(self.folder / "run", SMALL)
        status, out, _ = self.run_main(self.folder / "run")
        self.assertEqual(status, 0)
        self.assertIn(str(self.folder / "run" / "report.html"), out)
        self.assertIn("Capacity in tokens, essays", out)
        self.assertTrue((self.folder / "run" / "report.html").read_text().startswith("<!DOCTYPE html>"))
        self.assertEqual(list((self.folder / "run").glob("*.part")), [])

    def test_several_folders_need_a_place_for_the_page(self):
        write(self.folder / "a", dataclasses.replace(SMALL, experiment="first"))
        write(self.folder / "b", dataclasses.replace(SMALL, experiment="second", texts=["letters"]))
        status, _, error = self.run_main(self.folder / "a", self.folder / "b")
        self.assertEqual(status, 2)
        self.assertIn("--out", error)
        page = self.folder / "both.html"
        self.assertEqual(self.run_main(self.folder / "a", self.folder / "b", "--out", page)[0], 0)
        self.assertIn("first, second", page.read_text())
        self.assertIn("letters", page.read_text())

    def test_places_that_cannot_be_written_are_told_and_left_as_they_are(self):
        write(self.folder, dataclasses.replace(SMALL, curves=False, vectors=False))
        (self.folder / "folder").mkdir()
        (self.folder / "file").write_text("mine")
        before = sorted(self.folder.rglob("*"))
        for option, place, advice in (("--out", "folder", "--out " + str(self.folder / "folder" / "report.html")),
                                      ("--export", "file", "choose another name"), ("--out", "file/page.html", "cannot be written")):
            status, _, error = self.run_main(self.folder, option, self.folder / place)
            self.assertEqual(status, 2)
            self.assertIn(advice, error)
            self.assertNotIn("Errno 21", error)
        self.assertEqual(sorted(self.folder.rglob("*")), before)

    def test_broken_input_ends_with_status_2_and_leaves_no_page(self):
        (self.folder / "results.h5").write_text("no")
        status, _, error = self.run_main(self.folder)
        self.assertEqual(status, 2)
        self.assertIn("not an HDF5 file", error)
        self.assertFalse((self.folder / "report.html").exists())

    def test_a_run_that_goes_on_is_marked(self):
        path = write(self.folder, dataclasses.replace(SMALL, curves=False, vectors=False))
        with h5py.File(path, "a") as file:
            file.attrs.update({"planned_trials": 1000, "open_trials": 20, "dropped_trials": 7,
                               "dropped_reasons": "protocol 'hot' changed (7)"})
            # An older statistics table has no such column.
            self.assertNotIn("open", file["statistics"])
            file["statistics/open"] = np.full(file["statistics/trials"].shape, 1)
            file["statistics/capacity_tokens"][...] = -1
            file["statistics/capacity_exact_tokens"][...] = -1
            file["statistics/capacity_cut"][...] = 0
        status, said, _ = self.run_main(self.folder)
        self.assertEqual(status, 0)
        text = plain((self.folder / "report.html").read_text())
        for shown in (said, text):
            self.assertIn("Not finished: 980 of 1,000 planned trials have ended, 20 are open.", shown)
        self.assertIn("7 trials of the run folder are not shown: protocol 'hot' changed (7)", text)
        self.assertIn("agree with a recomputation", text)
        self.assertNotIn("Capacity by model", text)

    def test_a_snapshot_stands_for_its_folder(self):
        path = write(self.folder / "elsewhere", dataclasses.replace(SMALL, curves=False, vectors=False))
        run = self.folder / "run"
        run.mkdir()
        status, said, error = self.run_main(run, "--snapshot", run, path)
        self.assertEqual((status, error), (0, ""))
        page = (run / "report.html").read_text()
        self.assertIn(str(run / "results.h5"), page)
        self.assertNotIn("elsewhere", page)

    def test_no_trial_yet(self):
        path = write(self.folder, Plan(samples=2))
        with h5py.File(path, "a") as file:
            for name in list(file["trials"]):
                kind = file["trials"][name].dtype
                del file["trials"][name]
                file["trials"].create_dataset(name, shape=(0,), dtype=kind)
        status, _, error = self.run_main(self.folder)
        self.assertEqual(status, 2)
        self.assertIn("no finished trial yet", error)

    def test_exports_tables_and_pictures(self):
        write(self.folder, dataclasses.replace(SMALL, curves=False, vectors=False))
        self.assertEqual(self.run_main(self.folder, "--export", self.folder / "out")[0], 0)
        names = {path.name for path in (self.folder / "out").iterdir()}
        self.assertLessEqual({"statistics.csv", "trials.csv", "accuracy-essays.png", "capacity-random.svg"}, names)
        self.assertEqual(len(pd.read_csv(self.folder / "out" / "trials.csv")), len(load(self.folder).trials))

    def test_runs_as_a_module(self):
        write(self.folder, dataclasses.replace(SMALL, curves=False, vectors=False))
        done = subprocess.run([sys.executable, "-m", "memcap_analysis.report", str(self.folder)], capture_output=True, text=True,
                              env={"PYTHONPATH": str(REPOSITORY / "analysis"), "PATH": "/usr/bin:/bin"}, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertTrue(Path(self.folder, "report.html").exists())


if __name__ == "__main__":
    unittest.main()
