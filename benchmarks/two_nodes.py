"""Demonstrates training on two machines with torchrun: equal networks, one writer, and recovery from lost processes.

    python benchmarks/two_nodes.py [--namespaces]

The machines are two `torchrun` nodes with one process each, on the loopback interface. With --namespaces (root, Linux)
they are two network namespaces joined by a virtual cable, which is cut as well. A tiny fidelity network is trained on
the CPU with gloo. Each printed line has been verified; the first failure raises AssertionError. Takes some minutes.
POSIX only.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from aesop.networks.state_dicts import read_metadata, read_state
from aesop.run import Run

SETTINGS = (
    "generator={type: srvgg, features: 4, convs: 1}",
    "data.held_out=1",
    "data.workers=0",
    *(f"fidelity.{setting}" for setting in (
        "crop=32", "total_batch=4", "log_every=20", "validate_every=1000", "checkpoint_every=20", "warmup=0",
        "cosine=false",
    )),
    "perceptual=null",
    "autoencoder=null",
)  # fmt: skip
FEW, MANY = 40, 400
SENTENCE = (
    r"aesop: process \d of 2: another process is lost \(([\w ]+)\); see what .* to resume from the last checkpoint"
)
#: The two ends of the cable between the namespaces.
NAMESPACES, ADDRESSES, CABLE = ("aesop0", "aesop1"), ("10.77.0.1", "10.77.0.2"), "aesopcable"


class Machines:
    """Two nodes, on loopback or in namespaces, that train into run folders below `work`."""

    def __init__(self, work: Path, namespaces: bool) -> None:
        self.work, self.namespaces = work, namespaces
        (work / "pictures").mkdir()
        for number in range(4):
            noise = np.random.default_rng(number).integers(0, 256, (48, 48, 3), np.uint8)
            Image.fromarray(noise).save(work / "pictures" / f"{number}.png")

    def alone(self, run: str, iterations: int) -> None:
        """Train with one process, without torchrun."""
        done = subprocess.run(self._command(run, iterations), env=self._environment(), check=False, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()

    def start(self, run: str, iterations: int, *torchrun: str, nnodes: str = "2", **variables: str) -> list[Node]:
        """Start `aesop train` on both nodes."""
        host = ADDRESSES[0] if self.namespaces else "127.0.0.1"
        with socket.socket() as free:
            free.bind(("", 0))
            port = free.getsockname()[1]
        nodes = []
        for number in range(2):
            launcher = [sys.executable, "-m", "torch.distributed.run", "--nnodes", nnodes, "--nproc-per-node", "1"]
            launcher += ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"{host}:{port}", "--rdzv-id", run]
            launcher += ["--rdzv-conf", f"is_host={int(number == 0)},last_call_timeout=5", *torchrun]
            extra = dict(variables)
            if self.namespaces:
                launcher = ["ip", "netns", "exec", NAMESPACES[number], *launcher, "--local-addr", ADDRESSES[number]]
                extra["GLOO_SOCKET_IFNAME"] = f"{CABLE}{number}"
            output = self.work / f"{run}-{number}.txt"
            with output.open("a") as file:
                process = subprocess.Popen(
                    [*launcher, *self._command(run, iterations)[1:]],
                    stdout=file, stderr=file, env=self._environment() | extra, start_new_session=True,
                )  # fmt: skip
            nodes.append(Node(process, output))
        return nodes

    def _command(self, run: str, iterations: int) -> list[str]:
        files = ["--data", str(self.work / "pictures"), "--run-folder", str(self.work / run)]
        training = ["train", "laptop", *SETTINGS, f"fidelity.iterations={iterations}", *files, "--device", "cpu"]
        return [sys.executable, "-m", "aesop", *training]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "OMP_NUM_THREADS": "1", "AESOP_CACHE": str(self.work / "cache")}


class Node:
    """One torchrun, and the output of it and its process."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self.process, self.output = process, output

    def said(self) -> str:
        """The output so far."""
        return self.output.read_text(errors="replace")

    def worker(self) -> int:
        """Process id of the training that torchrun has started."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return next(
            int(child) for child in children if b"aesop" in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        )

    def end(self) -> None:
        """Kill torchrun and its training."""
        for pid in (self.process.pid, *([self.worker()] if self.process.poll() is None else [])):
            os.kill(pid, signal.SIGKILL)
        self.process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--namespaces", action="store_true")
    namespaces = parser.parse_args().namespaces
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        if namespaces:
            stack.callback(remove_namespaces)
            make_namespaces()
        machines = Machines(Path(folder), namespaces)
        for demonstration in (
            equal_networks, killed_process, elastic_restart, lost_machine, *([cut_cable] if namespaces else []),
        ):  # fmt: skip
            started = time.monotonic()
            print(f"{demonstration(machines)} ({time.monotonic() - started:.0f} s)", flush=True)


def equal_networks(machines: Machines) -> str:
    machines.alone("one", FEW)
    nodes = machines.start("two", FEW)
    wait(nodes, [0, 0])
    plans = sum("2 on each of 2 devices" in node.said() for node in nodes)
    assert plans == 1, [node.said() for node in nodes]
    events = list((machines.work / "two" / "logs").rglob("events.out.tfevents*"))
    assert len(events) == 1, events
    log = Run(machines.work / "two").stage("fidelity").read_log()
    assert [line["iteration"] for line in log if line["kind"] == "loss"] == [20, 40]
    gap = difference(machines, "two", "one")
    return f"two machines, one run folder, one writer; weights differ from one process's by {gap:.1e}"


def killed_process(machines: Machines) -> str:
    machines.alone("straight", MANY)
    nodes = machines.start("killed", MANY)
    await_checkpoint(machines, "killed")
    os.kill(nodes[1].worker(), signal.SIGKILL)
    began = time.monotonic()
    wait(nodes, [1, 1])
    seconds, why = time.monotonic() - began, lost(nodes[0])
    wait(machines.start("killed", MANY), [0, 0])
    gap = difference(machines, "killed", "straight")
    ends = f"killed process: the other reports it ({why}), both end after {seconds:.0f} s"
    return f"{ends}; resumed with the same command, weights differ by {gap:.1e}"


def elastic_restart(machines: Machines) -> str:
    nodes = machines.start("elastic", MANY, "--max-restarts", "2")
    await_checkpoint(machines, "elastic")
    os.kill(nodes[1].worker(), signal.SIGKILL)
    wait(nodes, [0, 0])
    lost(nodes[0])
    gap = difference(machines, "elastic", "straight")
    return f"--max-restarts: a killed process is restarted and resumes by itself; weights differ by {gap:.1e}"


def lost_machine(machines: Machines) -> str:
    nodes = machines.start("shrunk", MANY, "--max-restarts", "2", nnodes="1:2")
    await_checkpoint(machines, "shrunk")
    nodes[1].end()
    wait(nodes[:1], [0])
    assert re.search(r"of 4 crops of 32 pixels, \d", nodes[0].said())  # shared with nobody
    gap = difference(machines, "shrunk", "straight")
    return f"--nnodes 1:2: the other machine takes over a lost one's share and finishes; weights differ by {gap:.1e}"


def cut_cable(machines: Machines) -> str:
    nodes = machines.start("cut", 100_000, AESOP_TIMEOUT="20")
    await_checkpoint(machines, "cut")
    subprocess.run(["ip", "-n", NAMESPACES[1], "link", "set", f"{CABLE}1", "down"], check=True)
    began = time.monotonic()
    until(lambda: re.search(SENTENCE, nodes[0].said()) is not None, 120)
    seconds, why = time.monotonic() - began, lost(nodes[0])
    for node in nodes:
        if node.process.poll() is None:
            node.end()
    return f"cut cable, AESOP_TIMEOUT=20: reported after {seconds:.0f} s ({why})"


def lost(node: Node) -> str:
    """The reason that a process gives for its end, which must be a sentence and no traceback."""
    found = re.search(SENTENCE, node.said())
    assert found is not None, node.said()
    assert "[rank" not in node.said(), node.said()
    return found[1]


def difference(machines: Machines, first: str, second: str) -> float:
    """The largest difference between the weights of two finished runs with the same number of iterations."""
    networks = [Run(machines.work / run).stage("fidelity").network for run in (first, second)]
    ours, theirs = map(read_state, networks)
    assert read_metadata(networks[0])["iteration"] == read_metadata(networks[1])["iteration"]
    for key, value in ours.items():
        torch.testing.assert_close(theirs[key], value, rtol=1e-3, atol=2e-5)
    return max(float((theirs[key] - value).abs().max()) for key, value in ours.items())


def await_checkpoint(machines: Machines, run: str) -> None:
    until(Run(machines.work / run).stage("fidelity").checkpoint.is_file, 120)


def until(true: Callable[[], bool], seconds: float) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "timed out"
        time.sleep(0.02)


def wait(nodes: Sequence[Node], statuses: Sequence[int]) -> None:
    for node, status in zip(nodes, statuses, strict=True):
        assert node.process.wait(180) == status, node.said()


def make_namespaces() -> None:
    ip("link", "add", f"{CABLE}0", "type", "veth", "peer", "name", f"{CABLE}1")
    for number, (name, address) in enumerate(zip(NAMESPACES, ADDRESSES, strict=True)):
        ip("netns", "add", name)
        ip("link", "set", f"{CABLE}{number}", "netns", name)
        ip("-n", name, "address", "add", f"{address}/24", "dev", f"{CABLE}{number}")
        for link in ("lo", f"{CABLE}{number}"):
            ip("-n", name, "link", "set", link, "up")


def remove_namespaces() -> None:
    for name in NAMESPACES:
        subprocess.run(["ip", "netns", "delete", name], check=False, stderr=subprocess.DEVNULL)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


if __name__ == "__main__":
    main()
