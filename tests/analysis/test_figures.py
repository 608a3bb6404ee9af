"""The figures: what is drawn equals what a reader would compute from the trials."""

import unittest

from support import MODELS, frame, trial

import numpy as np
import pandas as pd

from memcap_analysis import figures
from memcap_analysis.statistics import recompute_statistics


def lines(figure) -> dict:
    """Lines with a label in the legend, by label."""
    return {line.get_label(): line for line in figure.axes[0].lines if not line.get_label().startswith("_")}


class SlopeOneFit(unittest.TestCase):
    def test_equals_least_squares_with_the_slope_held(self):
        generator = np.random.default_rng(3)
        rows = [trial(n, n // 3, loss_nomem=4 + generator.normal(0, 0.3), loss_min=2 + generator.random())
                for n in (8, 16, 32, 64, 128)]
        trials = frame(*rows, trial(9, 8, loss_min=0.01))
        offset, count = figures.slope_one_fit(trials)
        below = trials.iloc[:5]
        x, y = below["loss_nomem_nats"] * (below["length"] - 1), below["loss_min_nats"] * (below["length"] - 1)
        solution, *_ = np.linalg.lstsq(np.ones((5, 1)), (y - x).to_numpy(), rcond=None)
        self.assertEqual(count, 5)
        self.assertAlmostEqual(offset, -solution[0], places=9)

    def test_solved_trials_alone_give_no_fit(self):
        offset, count = figures.slope_one_fit(frame(trial(9, 8)))
        self.assertEqual(count, 0)
        self.assertTrue(np.isnan(offset))


class Accuracy(unittest.TestCase):
    def setUp(self):
        self.trials = frame(trial(5, 4), trial(5, 2), trial(9, 2), trial(9, 4), trial(9, 8, memory_vectors=4))

    def test_lines_are_means_by_length_and_vectors(self):
        drawn = lines(figures.accuracy_by_length(self.trials))
        np.testing.assert_allclose(drawn["K = 1"].get_xydata(), [[5, 0.75], [9, 0.375]])
        np.testing.assert_allclose(drawn["K = 4"].get_xydata(), [[9, 1.0]])

    def test_the_shade_is_one_standard_deviation_within_bounds(self):
        axes = figures.accuracy_by_length(self.trials).axes[0]
        heights = axes.collections[0].get_paths()[0].vertices[:, 1]
        self.assertAlmostEqual(heights.max(), 1.0)
        self.assertAlmostEqual(heights.min(), 0.375 - np.std([0.25, 0.5], ddof=1))

    def test_the_limit_is_drawn_and_lengths_are_logarithmic(self):
        axes = figures.accuracy_by_length(self.trials).axes[0]
        self.assertIn(0.99, [line.get_ydata()[0] for line in axes.lines])
        self.assertEqual(axes.get_xscale(), "log")

    def test_drawn_lengths_show_each_trial(self):
        figure = figures.accuracy_by_drawn_length(self.trials)
        points = np.vstack([collection.get_offsets() for collection in figure.axes[0].collections])
        self.assertEqual(sorted(map(tuple, points)), sorted(zip(self.trials["length"], self.trials["accuracy"])))


class CrossEntropy(unittest.TestCase):
    def test_points_fit_and_threshold(self):
        trials = frame(trial(11, 3, loss_nomem=4, loss_min=3), trial(21, 3, loss_nomem=4, loss_min=3.5),
                       trial(6, 5, loss_min=0.2))
        axes = figures.cross_entropy(trials).axes[0]
        np.testing.assert_allclose(axes.collections[0].get_offsets(), [[40, 30], [80, 70], [20, 1]])
        straight = [line.get_xydata() for line in axes.lines if len(line.get_xydata()) == 2]
        self.assertTrue(any(np.allclose(data, [[10, 0], [80, 70]]) for data in straight))
        self.assertTrue(any(np.allclose(data[:, 1], 0.2 * 6) for data in straight))

    def test_many_trials_are_thinned_evenly(self):
        trials = frame(*[trial(n, 1) for n in range(5, 505)])
        kept = figures.thinned(trials, 50)
        self.assertEqual((len(kept), kept["length"].min(), kept["length"].max()), (50, 5, 504))
        self.assertEqual(figures.marks_drawn(trials, 50), 50)


class ByModel(unittest.TestCase):
    def setUp(self):
        trials = frame(trial(5, 4), trial(9, 2), trial(5, 4, model="n"), trial(9, 8, model="n"), trial(5, 1, model="o"))
        models = pd.concat([MODELS.assign(name=name) for name in "mno"])
        self.statistics = recompute_statistics(trials, models)

    def test_capacity_marks(self):
        axes = figures.capacity_by_model(self.statistics, ["m", "n", "o"]).axes[0]
        marks = {label: line.get_xydata() for label, line in lines(axes.figure).items()}["K = 1"]
        # None for `o`: it stands one doubling left of the smallest power of two below 5.
        np.testing.assert_allclose(marks, [[5, 0], [9, 1], [2, 2]])
        arrows = [line.get_xydata() for line in axes.lines if line.get_marker() == ">"]
        self.assertEqual(len(arrows[0]), 1)
        self.assertEqual(arrows[0][0][1], 1)
        self.assertEqual([label.get_text() for label in axes.get_yticklabels()], ["m", "n", "o"])
        self.assertEqual(axes.xaxis.get_major_formatter()(2.0, 0), "0")

    def test_gain_marks_are_the_statistics(self):
        known = self.statistics.dropna(subset="information_gain_nats_mean")
        axes = figures.gain_by_model(known, ["m", "n", "o"]).axes[0]
        container = axes.containers[0]
        np.testing.assert_allclose(np.asarray(container.lines[0].get_xdata(), float), known["information_gain_nats_mean"])


class Ticks(unittest.TestCase):
    def test_of_a_logarithmic_axis_are_more_than_one_in_sight(self):
        for lengths in ([6, 12, 24], [2, 4096], [20, 44], [33, 40], [12]):
            with self.subTest(lengths):
                axes = figures.accuracy_by_length(frame(*(trial(length, 1) for length in lengths))).axes[0]
                low, high = axes.get_xlim()
                seen = [tick for tick in axes.get_xticks() if low <= tick <= high]
                self.assertGreater(len(seen), 1)
                self.assertLessEqual(len(seen), 8)


class Gain(unittest.TestCase):
    def test_lines_and_what_there_is_to_gain(self):
        trials = frame(trial(5, 4, loss_nomem=3, loss_min=1), trial(5, 4, loss_nomem=5, loss_min=1), trial(9, 1))
        drawn = lines(figures.gain_by_length(trials))
        np.testing.assert_allclose(drawn["K = 1"].get_xydata(), [[5, 15], [9, 27]])
        np.testing.assert_allclose(drawn["all there is"].get_xydata(), [[5, 20], [9, 36]])


class Colours(unittest.TestCase):
    def test_each_number_of_vectors_has_its_own(self):
        for shades in (figures.LIGHT_RANGE, figures.DARK_RANGE):
            self.assertEqual(len(set(figures.vector_colours([1, 2, 4, 8, 16, 32, 64, 128], shades).values())), 8)


if __name__ == "__main__":
    unittest.main()
