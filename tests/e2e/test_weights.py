"""Weights over ranks: whichever way they come, the results are the same, and provenance says how they came."""

import json
import unittest

from support import EndToEnd, mpirun, ragged, table, trials

# Each rank stands for a node of its own.
NODES = ["sh", "-c", "MEMCAP_NODE=node$OMPI_COMM_WORLD_RANK exec \"$@\"", "sh"]
# Ranks 1 and up are of one node.
TWO_NODES = ["sh", "-c", "MEMCAP_NODE=node$((OMPI_COMM_WORLD_RANK > 0)) exec \"$@\"", "sh"]


def ways(run):
    """way -> what the last launch says of the loads of its one model."""
    rows = json.loads(table(run, "provenance/launches")["weights"][-1])
    return {row["way"]: row for row in rows}


class Weights(EndToEnd):
    def run_with(self, choice, nodes, **changes):
        """A run on three ranks with one trial at a time in each."""
        file = self.write(name=f"{choice}.yaml", max_steps=60, run={"threads": 1, "slots": 1, "weights": choice}, **changes)
        return self.run_experiment(file, choice + str(len(nodes[2])), launcher=[*mpirun(3), *nodes])

    def assert_same_results(self, ours, theirs):
        first, second = trials(ours), trials(theirs)
        self.assertEqual(set(first), set(second))
        for trial_id, row in first.items():
            self.assert_equal_tables(row, second[trial_id])
        self.assert_equal_tables(ragged(ours, "vectors"), ragged(theirs, "vectors"))

    def test_every_way_gives_the_same_results(self):
        reference = self.run_with("per_rank", NODES)
        self.assertEqual(set(ways(reference)), {"read"})
        self.assertGreater(ways(reference)["read"]["longest_upload_s"], 0)
        once = self.run_with("per_node", NODES)
        self.assertEqual(set(ways(once)), {"shared"})
        self.assertGreater(ways(once)["shared"]["longest_read_s"], 0)
        sent = self.run_with("broadcast", NODES)
        for run in (once, sent, self.run_with("broadcast", TWO_NODES)):
            self.assert_same_results(run, reference)
        self.assertLessEqual({"sent", "received"}, set(ways(sent)))
        size_bytes = ways(reference)["read"]["bytes"]
        for way in ("sent", "received"):
            self.assertEqual(ways(sent)[way]["bytes"], size_bytes)
            # A file as small as this one can come and go within one look at the clock.
            self.assertTrue(0 <= ways(sent)[way]["longest_broadcast_s"] < 30, ways(sent)[way])

    def test_a_broadcast_on_one_node_reads(self):
        file = self.write(run={"threads": 1, "weights": "broadcast"})
        for launcher in ([], mpirun(2)):
            run = self.run_experiment(file, f"run{len(launcher)}", launcher=launcher)
            self.assertEqual(len(trials(run)), 12)
            self.assertEqual(set(ways(run)), {"read"})


if __name__ == "__main__":
    unittest.main()
