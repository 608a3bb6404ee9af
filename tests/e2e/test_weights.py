"""Weights over ranks: whichever way they come, the results are the same, and provenance says how they came."""

import json
import shutil
import subprocess
import unittest

import model_folders as damage
from support import DEADLINE_S, DONE, MEMCAP, EndToEnd, mpirun, ragged, table, trials

# Each rank stands for a node of its own.
NODES = ["sh", "-c", "MEMCAP_NODE=node$OMPI_COMM_WORLD_RANK exec \"$@\"", "sh"]
# Each rank is a node of its own, and has its own files under /proc/self/cwd.
OWN_FILES = ["sh", "-c", "cd node$OMPI_COMM_WORLD_RANK && MEMCAP_NODE=node$OMPI_COMM_WORLD_RANK exec \"$@\"", "sh"]
# Ranks 1 and up are of one node.
TWO_NODES = ["sh", "-c", "MEMCAP_NODE=node$((OMPI_COMM_WORLD_RANK > 0)) exec \"$@\"", "sh"]


def ways(run):
    """way -> what the last launch says of the loads of its one model."""
    rows = json.loads(table(run, "provenance/launches")["weights"][-1])
    return {row["way"]: row for row in rows}


class Weights(EndToEnd):
    def run_with(self, choice, nodes, **changes):
        """A run on three ranks with one trial at a time in each."""
        file = self.write(**{"name": f"{choice}.yaml", "max_steps": 60} | changes, run={"threads": 1, "slots": 1, "weights": choice})
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

    def run_on_own_files(self, choice):
        """A run on two nodes, each with files of its own; it may fail."""
        file = self.write(name=f"{choice}.yaml", max_steps=12, samples=1, models={"ink-64": {"path": "/proc/self/cwd/model"}},
                          run={"threads": 1, "slots": 1, "weights": choice})
        run = self.folder / f"own-{choice}"
        done = subprocess.run([*mpirun(2), *OWN_FILES, MEMCAP, "run", file, "--out", run], cwd=self.folder, check=False, text=True,
                              capture_output=True, timeout=DEADLINE_S, stdin=subprocess.DEVNULL, env=self.environment)
        return run, done

    def test_another_copy_on_a_node_is_never_computed_with(self):
        reference = self.run_with("per_rank", NODES, max_steps=12, samples=1)
        for node in ("node0", "node1"):
            (self.folder / node).mkdir()
            damage.copy_model(self.folder / node, "model")
        run, done = self.run_on_own_files("per_rank")
        self.assertEqual(done.returncode, DONE, done.stderr)
        self.assert_same_results(run, reference)
        shutil.rmtree(run)
        damage.set_first_value(self.folder / "node1" / "model", "model.embed_tokens.weight", 0x3C00)
        for choice in ("per_rank", "per_node", "broadcast"):
            run, done = self.run_on_own_files(choice)
            if choice == "broadcast":
                self.assertEqual(done.returncode, DONE, done.stderr)
                self.assert_same_results(run, reference)
                continue
            # How many trials the second rank takes, and thereby spoils, is a matter of time.
            rows = table(run)
            computed = rows["status"] == "done"
            self.assertEqual(set(rows["rank"][computed]) - {0}, set(), choice)
            for trial_id, loss in zip(rows["trial_id"][computed], rows["loss_nats"][computed]):
                self.assertEqual(loss, trials(reference)[trial_id]["loss_nats"])
            for failure in rows["failure"][~computed]:
                self.assertRegex(failure, "/model/model.safetensors: on .* this has other bytes than those that were hashed")

    def test_a_broadcast_on_one_node_reads(self):
        file = self.write(run={"threads": 1, "weights": "broadcast"})
        for launcher in ([], mpirun(2)):
            run = self.run_experiment(file, f"run{len(launcher)}", launcher=launcher)
            self.assertEqual(len(trials(run)), 12)
            self.assertEqual(set(ways(run)), {"read"})


if __name__ == "__main__":
    unittest.main()
