"""Plays seeds: `python -m tests.simulation.run 100000`, or one with its whole story: `--seed 17`."""

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from tests.simulation.actors import tale
from tests.simulation.world import World

CHUNK = 200


@dataclass(frozen=True)
class Played:
    """`problem` is the violated invariant, None where all held."""

    seed: int
    problem: str | None
    story: tuple[tuple[float, str, str], ...]

    @property
    def text(self) -> str:
        lines = [f"{at:9.3f}  {who:18} {what}" for at, who, what in self.story]
        return "\n".join([f"seed {self.seed}", *lines, f"VIOLATED: {self.problem}" if self.problem else "all held"])


def play(seed: int) -> Played:
    """One seed. The same one always has the same story."""
    world = World(seed)
    problem = world.run(tale)
    return Played(seed, problem, tuple(world.story))


def failures(seeds: range) -> list[Played]:
    return [played for seed in seeds if (played := play(seed)).problem]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seeds", type=int, nargs="?", default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int)
    asked = parser.parse_args()
    if asked.seed is not None:
        played = play(asked.seed)
        print(played.text)
        return bool(played.problem)
    end = asked.first + asked.seeds
    chunks = [range(at, min(at + CHUNK, end)) for at in range(asked.first, end, CHUNK)]
    failed: list[Played] = []
    with ProcessPoolExecutor() as pool:
        for chunk, found in zip(chunks, pool.map(failures, chunks), strict=True):
            failed += found
            print(
                f"{chunk.stop - asked.first} seeds, {len(failed)} failed: {[p.seed for p in failed][:20]}", flush=True
            )
    for played in failed[:1]:
        print(played.text)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
