"""Your own service: a TOML file and traces make an environment, without changes to the package.

From a shell:

    meshgym collect --scenario examples/shop.toml --out shop
    meshgym fit --scenario examples/shop.toml --traces shop/collection.db --out shop/simulator.npz
    python -c "import gymnasium; gymnasium.make('meshgym:MeshResilience-v0',
               scenario='examples/shop.toml', simulator='shop/simulator.npz')"
"""

from pathlib import Path
from tempfile import mkdtemp

import gymnasium as gym

from meshgym.scenarios import load_scenario
from meshgym.simulator.training import fit_simulator
from meshgym.traces.collect import collect
from meshgym.traces.store import load_traces

SHOP = Path(__file__).with_name("shop.toml")


def main(rows: int = 400, folder: Path | None = None) -> dict[str, float]:
    """Collect traces on the embedded Envoy, fit a simulator, and return the info of one step on it."""
    folder = folder or Path(mkdtemp(prefix="shop-"))
    traces = collect(load_scenario(SHOP), folder, rows=rows)
    simulator = fit_simulator(load_traces(traces), load_scenario(SHOP))
    path = simulator.save(folder / "simulator.npz")
    env = gym.make("meshgym:MeshResilience-v0", scenario=str(SHOP), simulator=str(path), control="both")
    env.reset(seed=0)
    *_, info = env.step(env.action_space.sample())
    return info


if __name__ == "__main__":
    print(main())
